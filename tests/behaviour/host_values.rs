//! What host functions do with values, memories and errors.

use crate::matrix::{Behaviour, instance, linked};
use wardian::{
    Caller, Engine, Error, ErrorKind, ExternRef, Linker, MemoryType, SharedMemory, Store, TrapCode,
    Val,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("host functions may use `?` on errors of all kinds", errors),
    ("text and plain data are read and written where a guest points to", plain),
    ("values are equal if their bits are, references if they refer to the same", equality),
];

#[derive(Debug, PartialEq)]
struct Own(u32);
impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "own {}", self.0)
    }
}
impl std::error::Error for Own {}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

fn errors(engine: &Engine) {
    let missing = || std::fs::read("/no/such/file");
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "io", move || -> Result<(), std::io::Error> { missing().map(drop) })
        .unwrap()
        .func_wrap("h", "mixed", move |n: i32| -> Result<i32, Error> {
            let n = u8::try_from(n)?;
            std::str::from_utf8(&[n])?;
            missing()?;
            Ok(0)
        })
        .unwrap()
        .func_wrap("h", "boxed", |n: i32| -> Result<(), Boxed> {
            match n {
                0 => Err(Own(7))?,
                1 => Err(TrapCode::Unreachable)?,
                2 => Err(Error::exit(3))?,
                3 => "x".parse::<i32>().map(drop)?,
                _ => Err("text")?,
            }
            Ok(())
        })
        .unwrap()
        .func_wrap("h", "text", || -> Result<i64, String> { Err("no luck".into()) })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "io" (func $io)) (import "h" "mixed" (func $mixed (param i32) (result i32)))
          (import "h" "boxed" (func $boxed (param i32))) (import "h" "text" (func $text (result i64)))
          (func (export "io") (param i32) (call $io))
          (func (export "mixed") (param i32) (drop (call $mixed (local.get 0))))
          (func (export "boxed") (param i32) (call $boxed (local.get 0)))
          (func (export "text") (param i32) (drop (call $text))))"#,
    );
    let mut error = |name: &str, n: i32| {
        i.typed_func::<i32, ()>(&mut store, name).unwrap().call(&mut store, n).unwrap_err()
    };
    let io = error("io", 0).downcast::<std::io::Error>().unwrap();
    assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
    assert!(error("mixed", 300).downcast_ref::<std::num::TryFromIntError>().is_some());
    assert!(error("mixed", 255).downcast_ref::<std::str::Utf8Error>().is_some());
    assert!(error("mixed", 1).downcast_ref::<std::io::Error>().is_some());
    let other = error("boxed", 0).downcast::<std::io::Error>().unwrap_err();
    assert_eq!(other.downcast::<Own>().unwrap(), Own(7));
    assert_eq!(error("boxed", 1).trap(), Some(TrapCode::Unreachable));
    assert!(error("boxed", 1).downcast::<Own>().unwrap_err().trap().is_some());
    assert_eq!(error("boxed", 2).exit_code(), Some(3));
    assert!(error("boxed", 3).downcast_ref::<std::num::ParseIntError>().is_some());
    for (name, text) in [("boxed", "text"), ("text", "no luck")] {
        let error = error(name, 4);
        assert!(matches!(error.kind(), ErrorKind::Host(_)) && error.to_string() == text);
    }
}

fn plain(engine: &Engine) {
    let mut linker: Linker<Vec<String>> = Linker::new(engine);
    linker
        .func_wrap("h", "see", |mut caller: Caller<'_, Vec<String>>, at: u32, len: u32| {
            let memory = caller.memory()?;
            let seen = memory.read_str(&caller, at as usize, len as usize)?.to_owned();
            let rest = memory.read_c_str(&caller, at as usize)?.to_owned();
            caller.data_mut().extend([seen, rest]);
            Ok::<_, Error>(())
        })
        .unwrap();
    let mut store = Store::new(engine, Vec::new());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "see" (func $see (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "gr\c3\bcn\00\ff")
          (func (export "see") (param i32 i32) (call $see (local.get 0) (local.get 1))))"#,
    );
    let see = i.typed_func::<(u32, u32), ()>(&mut store, "see").unwrap();
    see.call(&mut store, (16, 2)).unwrap();
    assert_eq!(*store.data(), ["gr", "grün"]);
    for (at, len, reason) in [
        (16, 3, "the text at 0x10 is not UTF-8"),
        (22, 1, "not UTF-8"),
        (65_535, 2, "2 bytes at 0xffff are not inside a memory of 65536 bytes"),
        (u32::MAX, u32::MAX, "are not inside a memory"),
    ] {
        let error = see.call(&mut store, (at, len)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let memory = i.get_memory(&mut store, "memory").unwrap();
    memory.write_value(&mut store, 101, &0x0102_0304_0506_0708_u64).unwrap();
    assert_eq!(memory.read_value::<u64>(&store, 101).unwrap(), 0x0102_0304_0506_0708);
    assert_eq!(memory.read_value::<u8>(&store, 101).unwrap(), 8, "little-endian");
    memory.write_values(&mut store, 203, &[1.5f32, -2.0]).unwrap();
    assert_eq!(memory.read_values::<f32>(&store, 203, 2).unwrap(), [1.5, -2.0]);
    assert_eq!(memory.read_values::<u128>(&store, 65_536, 0).unwrap(), []);
    let bytes = memory.data(&store).to_vec();
    assert!(memory.write_values(&mut store, 65_534, &[1u16, 2]).is_err());
    assert!(memory.write_value(&mut store, usize::MAX, &1u64).is_err());
    assert!(memory.read_value::<[u8; 3]>(&store, 65_534).is_err());
    assert!(memory.read_values::<u64>(&store, 0, usize::MAX / 4).is_err());
    assert_eq!(memory.data(&store), bytes, "nothing is written in part");
    memory.data_mut(&mut store).fill(b'x');
    let endless = memory.read_c_str(&store, 65_000).unwrap_err().to_string();
    assert!(endless.contains("has no end inside the memory"), "{endless}");
    shared(engine);
}

fn shared(engine: &Engine) {
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    let memory = SharedMemory::new(engine, ty).unwrap();
    memory.write_value(7, &-5i32).unwrap();
    assert_eq!(memory.read_value::<i32>(7).unwrap(), -5);
    memory.write(100, "grün".as_bytes()).unwrap();
    assert_eq!(memory.read_string(100, 5).unwrap(), "grün");
    assert!(memory.read_string(100, 3).is_err() && memory.read_string(0, usize::MAX).is_err());
    assert!(memory.read_value::<u64>(65_530).is_err());
    // Of the caller's memory only one of its own is given.
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "f", |mut caller: Caller<'_, ()>| caller.memory().map(|_| ())).unwrap();
    for text in [
        r#"(module (import "h" "f" (func $f)) (memory (export "memory") 1 1 shared) (start $f))"#,
        r#"(module (import "h" "f" (func $f)) (memory (export "other") 1) (start $f))"#,
        r#"(module (import "h" "f" (func $f)) (func (export "memory")) (start $f))"#,
    ] {
        let module = crate::matrix::module(engine, text);
        let error = linker.instantiate(&mut Store::new(engine, ()), &module).unwrap_err();
        assert!(error.to_string().contains("by the name of `memory`"), "{error}");
    }
}

fn equality(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (type $s (struct)) (func $f (export "f")) (func $g (export "g"))
          (global (export "a") anyref (struct.new $s)) (global (export "b") anyref (struct.new $s))
          (global (export "i") anyref (ref.i31 (i32.const 3))))"#,
    );
    let mut func = |name| Val::FuncRef(Some(i.get_func(&mut store, name).unwrap()));
    let (f, g) = (func("f"), func("g"));
    assert!(f == f.clone() && f != g && f != Val::FuncRef(None));
    let global =
        |store: &mut Store<()>, name| i.get_global(&mut *store, name).unwrap().get(&*store);
    let (a, b) = (global(&mut store, "a"), global(&mut store, "b"));
    assert!(a == global(&mut store, "a") && a != b && a != Val::AnyRef(None));
    assert_eq!(global(&mut store, "i"), global(&mut store, "i"));
    let (one, other) = (ExternRef::new(1), ExternRef::new(1));
    assert_eq!(Val::ExternRef(Some(one.clone())), Val::ExternRef(Some(one.clone())));
    assert_ne!(Val::ExternRef(Some(one)), Val::ExternRef(Some(other)));
    assert_eq!(Val::F32(f32::NAN.to_bits()), Val::F32(f32::NAN.to_bits()));
    assert_ne!(Val::F64(0f64.to_bits()), Val::F64((-0f64).to_bits()));
    assert_ne!(Val::I32(1), Val::I64(1));
    assert_ne!(Val::FuncRef(None), Val::ExternRef(None));
}
