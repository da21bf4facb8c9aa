//! Values that are held by constant expressions and builtins while these are evaluated. They are roots of a collection.

/// Operands of constant expressions and arguments of builtins, each in two slots.
#[derive(Default)]
pub(crate) struct Operands(Vec<[u64; 2]>);

/// How many there were at a moment: see [`Operands::truncate`].
#[derive(Clone, Copy)]
pub(crate) struct Height(usize);

impl Operands {
    /// How many there are.
    pub(crate) fn height(&self) -> Height {
        Height(self.0.len())
    }

    /// Adds one.
    pub(crate) fn push(&mut self, value: [u64; 2]) {
        self.0.push(value);
    }

    /// Adds words of one slot each.
    pub(crate) fn push_words(&mut self, words: &[u64]) {
        self.0.extend(words.iter().map(|word| [*word, 0]));
    }

    /// Takes the uppermost one. Validation: there is one.
    pub(crate) fn pop(&mut self) -> [u64; 2] {
        self.0.pop().unwrap_or_default()
    }

    /// The height below the uppermost `count` values, or below all if there are fewer.
    pub(crate) fn below(&self, count: usize) -> Height {
        Height(self.0.len().saturating_sub(count))
    }

    /// All.
    pub(crate) fn all(&self) -> &[[u64; 2]] {
        &self.0
    }

    /// All above a height.
    pub(crate) fn above(&self, height: Height) -> &[[u64; 2]] {
        &self.0[height.0..]
    }

    /// Drops all above a height.
    pub(crate) fn truncate(&mut self, height: Height) {
        self.0.truncate(height.0);
    }
}
