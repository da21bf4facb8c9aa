//! Code that one thread has compiled, and another runs.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use wardian_models::addr::CodeAddr;
use wardian_models::{Published, TierState, model};

const CODE: CodeAddr = CodeAddr::from_usize(0x1000);

/// Code is seen whole, and what was seen once stays, whoever else asks, fails or compiles the same again.
#[test]
fn who_sees_the_address_sees_the_code() {
    model(|| {
        let state = Arc::new(Published::default());
        // The code of each compiler's, by how far its address is from the smallest.
        let codes = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let compilers: Vec<_> = (0..2)
            .map(|compiler: usize| {
                let (state, codes) = (state.clone(), codes.clone());
                thread::spawn(move || {
                    state.mark_wanted();
                    // SAFETY: loom finds any access at the same time.
                    codes[compiler].with_mut(|code| unsafe { *code = 100 + compiler });
                    state.settle(Some(CODE.add(compiler)));
                    // Another one who looked before may say later that there was none.
                    state.settle(None);
                })
            })
            .collect();
        let mut seen = None;
        for _ in 0..2 {
            if let Some(TierState::Compiled(address)) = state.get() {
                assert_eq!(*seen.get_or_insert(address), address);
                let compiler = address.bytes_from(CODE);
                // SAFETY: as above.
                let code = codes[compiler].with(|code| unsafe { *code });
                assert_eq!(code, 100 + compiler);
            } else {
                assert_eq!(seen, None, "what was published stays");
            }
        }
        compilers.into_iter().for_each(|compiler| compiler.join().unwrap());
        assert!(matches!(state.get(), Some(TierState::Compiled(_))));
    });
}
