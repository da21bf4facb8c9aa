//! Images: a store returns to an earlier state.

use crate::{Result, Store, StoreContextMut};
use std::fmt;
use std::sync::Arc;
use wardian_runtime::store::image::ImageData;

/// The state of a store at a moment in which no guest was open: see [`Store::image`]. Clones are the same image.
///
/// It can be kept as long as you like, and used as often; a store can have several, and return to them in any order.
/// It costs memory for what differs from the state that the store returned to, or had an image taken of, last. It may
/// outlive its store, and then holds no contents of memories.
#[derive(Clone)]
pub struct Image(Arc<ImageData>);

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").finish_non_exhaustive()
    }
}

impl<T: 'static> Store<T> {
    /// Notes the state of the store, to come back to it with [`Store::reset_to`]: after instantiation, or when the
    /// guest has done what it would do each time at its start.
    ///
    /// The first image of a memory costs what was ever written to it, later ones what was written since the one
    /// before. A guest that writes to a page for the first time afterwards makes a copy of it, as after `fork`.
    ///
    /// ```
    /// use wardian::{Engine, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (global $n (mut i32) (i32.const 0))
    ///   (func (export "next") (result i32)
    ///     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let next = instance.typed_func::<(), i32>(&mut store, "next")?;
    /// assert_eq!(next.call(&mut store, ())?, 1);
    /// let image = store.image()?;
    /// assert_eq!((next.call(&mut store, ())?, next.call(&mut store, ())?), (2, 3));
    /// store.reset_to(&image)?;
    /// assert_eq!(next.call(&mut store, ())?, 2);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An instance has a shared memory, which others change at any time; or the system has no memory. Then the
    /// store is as before.
    pub fn image(&mut self) -> Result<Image> {
        StoreContextMut(&mut self.0).image()
    }

    /// Brings the store back to the state of an image of it.
    ///
    /// | | after a reset |
    /// |---|---|
    /// | memories, tables, mutable globals | contents and sizes of then; also those of the host's, and globals that no instance imports |
    /// | [`FileMemory`](crate::allocator::FileMemory) and other memories of an allocator's | the bytes of then are copied into it, so a file has them again |
    /// | segments that were dropped since | are there again |
    /// | objects | the heap of then; handles of the embedder's to newer objects refer to nothing |
    /// | exceptions and values of the embedder's that only newer state held | are dropped |
    /// | fuel | what was left then |
    /// | instances that were closed since | are open again, and have the close notifiers of then; an [`InstanceCloser`](crate::close::InstanceCloser) from before the reset does nothing any more |
    /// | instances, functions, memories, tables, globals that were made since | stay, with what they hold, and their handles stay valid; nothing of the store of then leads to them |
    /// | the embedder's data, limiter, deadline, cancellation, attached listeners, settings of the store | are not touched |
    /// | calls of a guest that was suspended and then forgotten | are over; their listeners are notified |
    ///
    /// The limiter is notified of what becomes smaller, and asked about what becomes larger again. Handles that
    /// existed when the image was taken refer to what they did.
    ///
    /// # Errors
    ///
    /// - The image is of another store.
    /// - An instance was made since that relies on a memory as large as it is now; or, if the image has a heap, an
    ///   instance, table or global that can hold objects. The limiter refuses. Then the store is as before.
    /// - The system has no memory; then the error says that the store is partly reset: drop it.
    pub fn reset_to(&mut self, image: &Image) -> Result<()> {
        StoreContextMut(&mut self.0).reset_to(image)
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::image`].
    ///
    /// # Errors
    ///
    /// As there; or a guest of the store is open: for those there is [`crate::snapshot::Snapshotter`].
    pub fn image(&mut self) -> Result<Image> {
        Ok(Image(self.0.take_image()?))
    }

    /// As [`Store::reset_to`].
    ///
    /// # Errors
    ///
    /// As there; or a guest of the store is open.
    pub fn reset_to(&mut self, image: &Image) -> Result<()> {
        Ok(self.0.reset_to(&image.0)?)
    }
}
