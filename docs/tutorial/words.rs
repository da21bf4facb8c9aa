//! Counts the words of its standard input, and prints the ten most frequent ones.
use std::io::Read;

struct Counter {
    words: Vec<(String, u64)>,
}

impl Counter {
    fn add(&mut self, word: &str) {
        for entry in &mut self.words {
            if entry.0 == word {
                entry.1 += 1;
                return;
            }
        }
        self.words.push((word.to_owned(), 1));
    }
}

fn normalise(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text");
    let mut counter = Counter { words: Vec::new() };
    for word in text.split_whitespace() {
        let word = normalise(word);
        if !word.is_empty() {
            counter.add(&word);
        }
    }
    counter.words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    for (word, count) in counter.words.iter().take(10) {
        println!("{count:7} {word}");
    }
}
