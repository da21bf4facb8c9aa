//! Stores of objects that URLs name: S3 and what speaks its protocol, Google's, Azure's; HTTP can be read.
//!
//! An object is replaced as a whole when its last part is there, so whatever ends the process, the one before stays.
//! Requests are made by one thread of a runtime of their own, while the thread that needs them waits.

mod download;
mod explain;
mod upload;

pub(super) use upload::NewObject;

use anyhow::{Context, Result, anyhow, bail};
use download::Download;
use explain::explain;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientConfigKey, GetOptions, GetRange, ObjectStore, ObjectStoreExt, ObjectStoreScheme,
    RetryConfig,
};
use std::fmt;
use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use url::{Position, Url};

/// An object, which may not be there.
#[derive(Clone)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    scheme: Scheme,
    /// What is before the path, for messages; the bucket is in it.
    root: Arc<str>,
    path: Path,
}

/// The protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    S3,
    Google,
    Azure,
    Http,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.root, self.path)
    }
}

impl Object {
    /// The object of this URL. Nothing is asked yet.
    pub(super) fn at(url: &str) -> Result<Object> {
        // What is not understood may have a password in it.
        let parsed = Url::parse(url).map_err(|error| anyhow!("this is no URL: {error}"))?;
        let root = parsed[..Position::BeforePath].to_owned();
        if !parsed.username().is_empty() || parsed.password().is_some() {
            // That of Azure has a container there.
            if parsed.password().is_some() || !parsed.scheme().starts_with("ab") {
                bail!(
                    "credentials are not part of the URL: they are read from environment variables"
                );
            }
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            bail!(
                "{root}: URLs with `?` or `#` are not supported; credentials are read from environment variables"
            );
        }
        let known = ObjectStoreScheme::parse(&parsed).ok();
        let scheme = match known.as_ref().map(|(scheme, _)| scheme) {
            Some(ObjectStoreScheme::AmazonS3) => Scheme::S3,
            Some(ObjectStoreScheme::GoogleCloudStorage) => Scheme::Google,
            Some(ObjectStoreScheme::MicrosoftAzure) => Scheme::Azure,
            Some(ObjectStoreScheme::Http) => Scheme::Http,
            _ => {
                bail!("{root}: known are s3://, gs://, az://, and for reading http:// and https://")
            }
        };
        let path = known.map(|(_, path)| path).filter(|path| !path.as_ref().is_empty());
        let path = path.with_context(|| format!("{root} names no object in it"))?;
        let before = parsed.path().strip_suffix(path.as_ref()).unwrap_or("/");
        let shown = format!("{root}{}", before.trim_end_matches('/'));
        runtime()?;
        let store = open(scheme, &parsed).map_err(|error| explain(error, scheme, &shown));
        let store = store.with_context(|| format!("cannot use {shown}"))?;
        Ok(Object { store, scheme, root: shown.into(), path })
    }

    /// Begins to read it.
    pub(super) fn reader(&self) -> Result<Box<dyn Read>> {
        Ok(Box::new(Download::begin(self)?))
    }

    /// Whether it can be written: an upload is begun, and given up.
    pub(super) fn try_write(&self) -> Result<()> {
        if self.scheme == Scheme::Http {
            bail!("by HTTP checkpoints can only be read");
        }
        self.wait(async {
            let mut upload = self.store.put_multipart(&self.path).await?;
            upload.abort().await
        })
    }

    /// Begins to write it.
    pub(super) fn begin(&self) -> NewObject {
        NewObject::new(self.clone())
    }

    /// Its last 32 bytes, which are the root hash of a checkpoint; none if it is not there.
    pub(super) fn root(&self) -> Result<Option<[u8; 32]>> {
        let range = Some(GetRange::Suffix(32));
        let bytes = runtime()?.block_on(async {
            let options = GetOptions { range, ..GetOptions::default() };
            self.store.get_opts(&self.path, options).await?.bytes().await
        });
        match bytes {
            Ok(bytes) => Ok((*bytes).try_into().ok()),
            Err(object_store::Error::NotFound { source, .. })
                if !explain::is_about_the_bucket(&source.to_string()) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The object whose name has this ending.
    pub(super) fn with_ending(&self, ending: &str) -> Object {
        Object { path: Path::from(format!("{}{ending}", self.path)), ..self.clone() }
    }

    /// The object without what follows the last dot of its name, if that is as it has to be.
    pub(super) fn without_ending(&self, is_ending: impl Fn(&str) -> bool) -> Option<Object> {
        let (before, ending) = self.path.as_ref().rsplit_once('.')?;
        is_ending(ending).then(|| Object { path: Path::from(before), ..self.clone() })
    }

    /// The last parts of the names that begin with this one and a slash.
    pub(super) fn names_below(&self) -> Result<Vec<String>> {
        let listed = self.wait(self.store.list_with_delimiter(Some(&self.path)))?;
        let names = listed.objects.iter().filter_map(|object| object.location.filename());
        Ok(names.map(str::to_owned).collect())
    }

    /// Makes another object the same.
    pub(super) fn copy_to(&self, to: &Object) -> Result<()> {
        self.wait(self.store.copy(&self.path, &to.path))
    }

    pub(super) fn remove(&self) -> Result<()> {
        self.wait(self.store.delete(&self.path))
    }

    /// Waits for what is asked of the store.
    fn wait<R>(&self, asked: impl Future<Output = object_store::Result<R>>) -> Result<R> {
        runtime()?.block_on(asked).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: object_store::Error) -> anyhow::Error {
        explain(error, self.scheme, &self.root)
    }
}

/// The thread that makes requests. It inherits which signals are blocked, so it is made after they are.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    // If somebody else was faster there is a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("objects").enable_all().build();
    let runtime = runtime.context("cannot make a thread for requests")?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// A client of the store, with what the usual environment variables say.
fn open(scheme: Scheme, url: &Url) -> object_store::Result<Arc<dyn ObjectStore>> {
    // A guest stands still meanwhile, and who started it wants to know what is wrong.
    let retry = RetryConfig {
        max_retries: 4,
        retry_timeout: Duration::from_secs(30),
        ..RetryConfig::default()
    };
    Ok(match scheme {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_url(url.as_str());
            // What Amazon's own tools call it.
            if let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL_S3") {
                builder = builder.with_endpoint(endpoint);
            }
            Arc::new(builder.with_retry(retry).build()?)
        }
        Scheme::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str());
            Arc::new(builder.with_retry(retry).build()?)
        }
        Scheme::Azure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str());
            Arc::new(builder.with_retry(retry).build()?)
        }
        Scheme::Http => {
            let builder = HttpBuilder::new().with_url(&url[..Position::BeforePath]);
            // Whoever names such a URL wants that.
            let builder = builder.with_config(ClientConfigKey::AllowHttp, "true");
            Arc::new(builder.with_retry(retry).build()?)
        }
    })
}
