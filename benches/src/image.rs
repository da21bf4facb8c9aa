//! Images of stores: taking them, returning to them, and the guest afterwards.

use crate::engines::{self, WARDIAN};
use crate::instantiate::SMALL;
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::time::{Duration, Instant};
use wardian::{Engine, Instance, Module, Store, TypedFunc, image::Image};

/// The same without an image.
pub(crate) const PLAIN: &str = "no image";
/// A store that is made anew in the place of a reset.
pub(crate) const ANEW: &str = "made anew";

/// Writes to every `step`th byte.
pub(crate) const WRITING: &str = r#"(module (memory (export "memory") 2400)
  (func (export "touch") (param $at i32) (param $step i32) (param $count i32) (result i64)
    (loop $again
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (local.get $step)))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (i64.load (i32.const 0))))"#;

pub(crate) const PAGE: i32 = 4096;

/// A guest with a memory of 150 MiB, of which so many pages have been written.
pub(crate) struct Guest {
    pub(crate) store: Store<()>,
    pub(crate) instance: Instance,
    touch: TypedFunc<(i32, i32, i32), i64>,
}

impl Guest {
    pub(crate) fn new(engine: &Engine, module: &Module, pages: i32) -> Result<Guest> {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[])?;
        let mut guest = Guest::of(store, instance)?;
        guest.touch((0, PAGE, pages))?;
        Ok(guest)
    }

    /// One that is in the store already.
    pub(crate) fn of(mut store: Store<()>, instance: Instance) -> Result<Guest> {
        let touch = instance.typed_func(&mut store, "touch")?;
        Ok(Guest { store, instance, touch })
    }

    pub(crate) fn touch(&mut self, how: (i32, i32, i32)) -> Result<i64> {
        Ok(self.touch.call(&mut self.store, how)?)
    }
}

/// How 1 MiB is written in a memory of so many pages: 256 pages next to each other, or far apart.
pub(crate) fn ways(pages: i32) -> [(&'static str, (i32, i32, i32)); 2] {
    [("contiguous", (1 << 20, PAGE, 256)), ("scattered", (0, pages / 256 * PAGE, 256))]
}

/// Does this so often, and counts the time of what `timed` does after the guest has written.
fn after_writing<'a>(
    mut guest: Guest,
    how: (i32, i32, i32),
    mut timed: impl FnMut(&mut Store<()>) -> Result<()> + 'a,
) -> Contender<'a> {
    Contender::timed(WARDIAN, move |n, _| {
        let (mut sum, mut time) = (0, Duration::ZERO);
        for _ in 0..n {
            sum += guest.touch(how)?;
            let start = Instant::now();
            timed(&mut guest.store)?;
            time += start.elapsed();
        }
        Ok((sum, time))
    })
}

/// All rows.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = Module::new(&engine, WRITING)?;
    let mut rows = Vec::new();
    let mut add = |name: &str, make: &dyn Fn() -> Result<Vec<Contender<'static>>>| -> Result<()> {
        if options.wants(name) {
            rows.push(measure(options, name, make()?)?);
        }
        Ok(())
    };
    add("reset, small", &|| small(&engine))?;
    for (way, how) in ways(25_600) {
        let name = format!("reset, 100 MiB, 1 MiB written, {way}");
        add(&name, &|| {
            let mut guest = Guest::new(&engine, &module, 25_600)?;
            let image = guest.store.image()?;
            Ok(vec![after_writing(guest, how, move |store| Ok(store.reset_to(&image)?))])
        })?;
    }
    for (count, what) in [(1, "one page"), (256, "1 MiB")] {
        let name = format!("image, 150 MiB, {what} written");
        add(&name, &|| {
            let mut guest = Guest::new(&engine, &module, 38_400)?;
            let mut last = Some(guest.store.image()?);
            let how = (1 << 20, PAGE, count);
            Ok(vec![after_writing(guest, how, move |store| {
                drop(last.replace(store.image()?));
                Ok(())
            })])
        })?;
    }
    add("two images of 100 MiB that differ by 1 MiB, in turns", &|| {
        let mut guest = Guest::new(&engine, &module, 25_600)?;
        let one = guest.store.image()?;
        guest.touch((1 << 20, PAGE, 256))?;
        let mut images: [Image; 2] = [one, guest.store.image()?];
        Ok(vec![after_writing(guest, (0, PAGE, 1), move |store| {
            images.swap(0, 1);
            Ok(store.reset_to(&images[0])?)
        })])
    })?;
    for (way, how) in ways(25_600) {
        let name = format!("the guest writes 1 MiB after a reset, {way}");
        add(&name, &|| guests(&engine, &module, how, After::Reset))?;
    }
    let all = (0, PAGE, 38_400);
    add("the guest writes 150 MiB after an image", &|| {
        guests(&engine, &module, all, After::Image)
    })?;
    add("the guest writes 150 MiB once more", &|| guests(&engine, &module, all, After::Writing))?;
    Ok(rows)
}

/// A small store that is called and reset, or made anew and called.
fn small(engine: &Engine) -> Result<Vec<Contender<'static>>> {
    let module = Module::new(engine, SMALL)?;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let fill = instance.typed_func::<i32, i64>(&mut store, "fill")?;
    let image = store.image()?;
    let reset = Contender::new(WARDIAN, move |n| {
        let mut sum = 0;
        for _ in 0..n {
            sum += fill.call(&mut store, 2048)?;
            store.reset_to(&image)?;
        }
        Ok(sum)
    });
    let engine = engine.clone();
    let anew = Contender::new(ANEW, move |n| {
        let mut sum = 0;
        for _ in 0..n {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            let fill = instance.typed_func::<i32, i64>(&mut store, "fill")?;
            sum += fill.call(&mut store, 2048)?;
        }
        Ok(sum)
    });
    Ok(vec![reset, anew])
}

/// When the guest's time is measured.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Image,
    Reset,
    /// When it has written the same pages since the image.
    Writing,
}

/// The time that a guest takes to write, after an image or a reset, and without any.
fn guests(
    engine: &Engine,
    module: &Module,
    how: (i32, i32, i32),
    after: After,
) -> Result<Vec<Contender<'static>>> {
    let mut contenders = Vec::new();
    for (name, with) in [(WARDIAN, true), (PLAIN, false)] {
        let mut guest = Guest::new(engine, module, 38_400)?;
        let mut image = if with { Some(guest.store.image()?) } else { None };
        if after == After::Writing {
            guest.touch(how)?;
        }
        contenders.push(Contender::timed(name, move |n, _| {
            let (mut sum, mut time) = (0, Duration::ZERO);
            for _ in 0..n {
                match (&mut image, after) {
                    (Some(image), After::Image) => *image = guest.store.image()?,
                    (Some(image), After::Reset) => guest.store.reset_to(image)?,
                    _ => {}
                }
                let start = Instant::now();
                sum += guest.touch(how)?;
                time += start.elapsed();
            }
            // What is in memory is not the same in both.
            std::hint::black_box(sum);
            Ok((0, time))
        }));
    }
    Ok(contenders)
}
