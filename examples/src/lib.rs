//! This package only holds examples: see the files beside `Cargo.toml`. The code in the book is compiled and run with
//! them.

/// Pages of the book that have code.
#[cfg(doctest)]
mod book {
    macro_rules! pages {
        ($($page:ident $file:literal)*) => {$(
            #[doc = include_str!(concat!("../../docs/", $file))]
            struct $page;
        )*};
    }

    pages! {
        Introduction "introduction.md" Plugins "plugins.md" Limits "limits.md" Async "async.md" Threads "threads.md"
        Images "images.md" Objects "objects.md" Traps "traps.md"
    }
}
