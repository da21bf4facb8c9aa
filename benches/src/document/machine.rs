//! Where and with what a report was made.

use crate::drivers::Drivers;
use crate::engines::{WARDIAN, WASMI, WASMTIME};
use crate::options::{Options, Result};
use std::process::Command;
use std::time::SystemTime;

/// The machine, as pairs of what and which. To be taken when the run begins.
pub(crate) fn machine() -> Vec<(&'static str, String)> {
    let system = rustix::system::uname();
    let words = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    vec![
        ("begun", humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())),
        ("processors", cores.to_string()),
        ("memory", memory),
        (
            "system",
            format!(
                "{} {}, {}",
                words(system.sysname()),
                words(system.release()),
                words(system.machine())
            ),
        ),
        ("load before", load()),
    ]
}

/// The load of the last one, five and fifteen minutes. Runs of this program themselves make about 1.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

/// Whether other programs kept processors busy, by the load before the run.
pub(crate) fn was_busy(machine: &[(&str, String)]) -> bool {
    let load = machine.iter().find(|m| m.0 == "load before").map_or("", |m| m.1.as_str());
    load.split(',').next().and_then(|l| l.parse::<f64>().ok()).is_some_and(|load| load > 0.5)
}

/// The engines that took part, and their versions.
pub(crate) fn versions(options: &Options) -> Result<Vec<(String, String)>> {
    let lock = include_str!("../../Cargo.lock");
    let library = |name: &str| locked(lock, name).unwrap_or_else(|| "unknown".to_owned());
    let mut versions = vec![
        (format!("{WARDIAN} (library)"), format!("{}{}", library("wardian"), commit())),
        (format!("{WASMTIME} (library)"), library("wasmtime")),
        (format!("{WASMI} (library)"), library("wasmi")),
    ];
    let wants =
        |group: &str| options.groups.is_empty() || options.groups.iter().any(|g| g == group);
    if wants("cpu") {
        let drivers = Drivers::start(options, crate::cpu::GUESTS)?.versions();
        versions
            .extend(drivers.into_iter().map(|(name, text)| (format!("{name} (process)"), text)));
    }
    if wants("cold") {
        let commands = crate::cold::versions();
        versions
            .extend(commands.into_iter().map(|(name, text)| (format!("{name} (command)"), text)));
    }
    Ok(versions)
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            format!(", commit {}", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => String::new(),
    }
}

/// The version of a package in a lock file.
fn locked(lock: &str, package: &str) -> Option<String> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split_once('"')?.0.to_owned())
}

/// A field of a file of the kernel's, whose lines are `NAME: VALUE`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_of_the_peers() {
        let lock = include_str!("../../Cargo.lock");
        let major =
            |name| super::locked(lock, name).map(|v| v.split('.').next().map(str::to_owned));
        assert_eq!(major("wasmtime"), Some(Some("48".to_owned())));
        assert_eq!(major("wasmi"), Some(Some("2".to_owned())));
        assert_eq!(major("nothing"), None);
    }
}
