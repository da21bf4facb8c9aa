//! Counts the words of its standard input, and prints the ten most frequent ones.
use std::collections::HashMap;
use std::io::Read;

struct Counter {
    words: HashMap<String, u64>,
}

impl Counter {
    fn add(&mut self, word: &str) {
        match self.words.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(self.words.insert(word.to_owned(), 1)),
        }
    }
}

fn normalise(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text");
    let mut counter = Counter { words: HashMap::new() };
    for word in text.split_whitespace() {
        let word = normalise(word);
        if !word.is_empty() {
            counter.add(&word);
        }
    }
    let mut words: Vec<_> = counter.words.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, count) in words.iter().take(10) {
        println!("{count:7} {word}");
    }
}
