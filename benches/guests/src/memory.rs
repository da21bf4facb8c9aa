//! Loops over memory, and sorting.

use crate::{Random, mix};

/// Sieve of Eratosthenes below 200,000.
#[unsafe(no_mangle)]
extern "C" fn sieve(n: i32) -> i64 {
    const LIMIT: usize = 200_000;
    let mut sum = 0;
    let mut composite = vec![false; LIMIT];
    for round in 0..n {
        composite.fill(false);
        let mut count = round as u64;
        for i in 2..LIMIT {
            if !composite[i] {
                count += 1;
                let mut k = i * i;
                while k < LIMIT {
                    composite[k] = true;
                    k += i;
                }
            }
        }
        sum = mix(sum, count);
    }
    sum
}

/// Conway's game of life on bytes.
#[unsafe(no_mangle)]
extern "C" fn life(n: i32) -> i64 {
    const SIDE: usize = 128;
    let mut random = Random::new(3);
    let mut now: Vec<u8> = (0..SIDE * SIDE).map(|_| (random.below(3) == 0) as u8).collect();
    let mut next = vec![0u8; SIDE * SIDE];
    for _ in 0..n {
        for y in 0..SIDE {
            let (up, down) = ((y + SIDE - 1) % SIDE * SIDE, (y + 1) % SIDE * SIDE);
            for x in 0..SIDE {
                let (left, right) = ((x + SIDE - 1) % SIDE, (x + 1) % SIDE);
                let row = y * SIDE;
                let around = now[up + left]
                    + now[up + x]
                    + now[up + right]
                    + now[row + left]
                    + now[row + right]
                    + now[down + left]
                    + now[down + x]
                    + now[down + right];
                next[row + x] = u8::from(around == 3 || (around == 2 && now[row + x] == 1));
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    now.iter().fold(0, |sum, x| mix(sum, u64::from(*x)))
}

fn quick(values: &mut [u32]) {
    let mut values = values;
    while values.len() > 16 {
        let middle = values.len() / 2;
        let last = values.len() - 1;
        if values[middle] < values[0] {
            values.swap(middle, 0)
        }
        if values[last] < values[0] {
            values.swap(last, 0)
        }
        if values[last] < values[middle] {
            values.swap(last, middle)
        }
        let pivot = values[middle];
        let (mut i, mut j) = (0, last);
        loop {
            while values[i] < pivot {
                i += 1
            }
            while values[j] > pivot {
                j -= 1
            }
            if i >= j {
                break;
            }
            values.swap(i, j);
            i += 1;
            j -= 1;
        }
        let (left, right) = values.split_at_mut(i.max(1));
        if left.len() < right.len() {
            quick(left);
            values = right;
        } else {
            quick(right);
            values = left;
        }
    }
    for i in 1..values.len() {
        let value = values[i];
        let mut at = i;
        while at > 0 && values[at - 1] > value {
            values[at] = values[at - 1];
            at -= 1;
        }
        values[at] = value;
    }
}

/// Quick sort of 20,000 numbers.
#[unsafe(no_mangle)]
extern "C" fn quicksort(n: i32) -> i64 {
    let mut sum = 0;
    for round in 0..n {
        let mut random = Random::new(round as u64);
        let mut values: Vec<u32> = (0..20_000).map(|_| random.next() as u32).collect();
        quick(&mut values);
        assert!(values.is_sorted());
        sum = values.iter().step_by(97).fold(sum, |sum, v| mix(sum, u64::from(*v)));
    }
    sum
}

#[derive(Clone)]
struct Record {
    key: u32,
    name: [u8; 12],
    weight: f64,
}

/// Stable (merge) sort of 5,000 records by several keys.
#[unsafe(no_mangle)]
extern "C" fn mergesort(n: i32) -> i64 {
    let mut sum = 0;
    for round in 0..n {
        let mut random = Random::new(round as u64);
        let mut records: Vec<Record> = (0..5_000)
            .map(|_| Record {
                key: random.below(500),
                name: std::array::from_fn(|_| b'a' + random.below(26) as u8),
                weight: random.unit(),
            })
            .collect();
        records.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| a.name.cmp(&b.name)));
        for record in records.iter().step_by(53) {
            sum = mix(sum, record.weight.to_bits() ^ u64::from(record.name[3]));
        }
    }
    sum
}
