//! Interpreters, calls through tables, and calls of small functions.

use crate::{Random, mix};
use std::hint::black_box;

/// Prints squares: nested loops, moves, comparisons.
const SQUARES: &[u8] = b"++++[>+++++<-]>[<+++++>-]+<+[>[>+>+<<-]++>>[<<+>>-]>>>[-]++>[-]+>>>+[[-]\
++++++>>>]<<<[[<++++++++<++>>-]+<.<[>----<-]<]<<[>>>>>[>>>[-]+++++++++<[>-<-]+++++++++>[-[<->-]+[\
<<<]]<[>+<-]>]<<-]<<-]";

/// An interpreter that matches on bytes.
#[unsafe(no_mangle)]
extern "C" fn brainf(n: i32) -> i64 {
    let mut jumps = vec![0usize; SQUARES.len()];
    let mut open = Vec::new();
    for (at, op) in SQUARES.iter().enumerate() {
        if *op == b'[' {
            open.push(at);
        } else if *op == b']' {
            let from = open.pop().unwrap_or(0);
            (jumps[at], jumps[from]) = (from, at);
        }
    }
    let mut sum = 0;
    for _ in 0..n {
        let mut tape = vec![0u8; 4096];
        let (mut head, mut pc) = (0usize, 0usize);
        while pc < SQUARES.len() {
            match SQUARES[pc] {
                b'>' => head += 1,
                b'<' => head -= 1,
                b'+' => tape[head] = tape[head].wrapping_add(1),
                b'-' => tape[head] = tape[head].wrapping_sub(1),
                b'.' => sum = mix(sum, u64::from(tape[head])),
                b'[' if tape[head] == 0 => pc = jumps[pc],
                b']' if tape[head] != 0 => pc = jumps[pc],
                _ => {}
            }
            pc += 1;
        }
    }
    sum
}

/// Registers and memory of the machine that [`vm_switch`] and [`vm_table`] run.
struct Machine {
    registers: [u32; 16],
    memory: Vec<u32>,
    pc: usize,
    running: bool,
}

/// `op << 24 | a << 16 | b << 8 | c`
const fn op(op: u32, a: u32, b: u32, c: u32) -> u32 {
    op << 24 | a << 16 | b << 8 | c
}

/// Fills 64 words with a generator, sorts them with bubbles, and mixes them.
const PROGRAM: &[u32] = &[
    op(0, 1, 0, 0),  // r1 = 0
    op(0, 2, 0, 64), // r2 = 64
    op(0, 3, 0, 17), // r3 = 17
    op(0, 15, 0, 1), // r15 = 1
    // 4: fill
    op(3, 3, 3, 2),  // r3 *= 64
    op(1, 3, 3, 1),  // r3 += r1
    op(4, 3, 3, 2),  // r3 ^= r2
    op(9, 3, 3, 13), // r3 = rotate 13
    op(6, 3, 1, 0),  // memory[r1] = r3
    op(1, 1, 1, 15), // r1 += 1
    op(7, 1, 2, 4),  // if r1 < r2 goto 4
    // 11: sort
    op(0, 6, 0, 0),  // r6 = 0
    op(2, 7, 2, 15), // r7 = r2 - 1
    op(0, 1, 0, 0),  // 13: r1 = 0
    // 14:
    op(1, 8, 1, 15), // r8 = r1 + 1
    op(5, 4, 1, 0),  // r4 = memory[r1]
    op(5, 5, 8, 0),  // r5 = memory[r8]
    op(7, 4, 5, 20), // if r4 < r5 goto 20
    op(6, 5, 1, 0),
    op(6, 4, 8, 0),
    op(1, 1, 1, 15), // 20: r1 += 1
    op(7, 1, 7, 14), // if r1 < r7 goto 14
    op(1, 6, 6, 15), // r6 += 1
    op(7, 6, 2, 13), // if r6 < r2 goto 13
    op(8, 0, 0, 0),  // halt
];

impl Machine {
    fn new(seed: u32) -> Machine {
        let mut registers = [0; 16];
        registers[14] = seed;
        Machine { registers, memory: vec![seed; 256], pc: 0, running: true }
    }

    fn sum(&self, sum: i64) -> i64 {
        self.memory.iter().step_by(5).fold(sum, |sum, v| mix(sum, u64::from(*v)))
    }
}

/// An interpreter that matches on operations.
#[unsafe(no_mangle)]
extern "C" fn vm_switch(n: i32) -> i64 {
    let mut sum = 0;
    for round in 0..n {
        let mut m = Machine::new(round as u32);
        let program = black_box(PROGRAM);
        loop {
            let word = program[m.pc];
            m.pc += 1;
            let (a, b, c) = ((word >> 16 & 15) as usize, (word >> 8 & 15) as usize, word & 255);
            let r = &mut m.registers;
            let other = r[(c & 15) as usize];
            match word >> 24 {
                0 => r[a] = c,
                1 => r[a] = r[b].wrapping_add(other),
                2 => r[a] = r[b].wrapping_sub(other),
                3 => r[a] = r[b].wrapping_mul(other),
                4 => r[a] = r[b] ^ other,
                5 => r[a] = m.memory[(r[b] & 255) as usize],
                6 => m.memory[(r[b] & 255) as usize] = r[a],
                7 => {
                    if r[a] < r[b] {
                        m.pc = c as usize
                    }
                }
                9 => r[a] = r[b].rotate_left(c),
                _ => break,
            }
        }
        sum = m.sum(sum);
    }
    sum
}

type Operation = fn(&mut Machine, usize, usize, u32);

/// An interpreter that calls operations through a table.
#[unsafe(no_mangle)]
extern "C" fn vm_table(n: i32) -> i64 {
    let operations: [Operation; 10] = [
        |m, a, _, c| m.registers[a] = c,
        |m, a, b, c| m.registers[a] = m.registers[b].wrapping_add(m.registers[c as usize & 15]),
        |m, a, b, c| m.registers[a] = m.registers[b].wrapping_sub(m.registers[c as usize & 15]),
        |m, a, b, c| m.registers[a] = m.registers[b].wrapping_mul(m.registers[c as usize & 15]),
        |m, a, b, c| m.registers[a] = m.registers[b] ^ m.registers[c as usize & 15],
        |m, a, b, _| m.registers[a] = m.memory[(m.registers[b] & 255) as usize],
        |m, a, b, _| {
            let at = (m.registers[b] & 255) as usize;
            m.memory[at] = m.registers[a];
        },
        |m, a, b, c| {
            if m.registers[a] < m.registers[b] {
                m.pc = c as usize
            }
        },
        |m, _, _, _| m.running = false,
        |m, a, b, c| m.registers[a] = m.registers[b].rotate_left(c),
    ];
    let operations = black_box(operations);
    let mut sum = 0;
    for round in 0..n {
        let mut m = Machine::new(round as u32);
        let program = black_box(PROGRAM);
        while m.running {
            let word = program[m.pc];
            m.pc += 1;
            let (a, b) = ((word >> 16 & 15) as usize, (word >> 8 & 15) as usize);
            operations[(word >> 24) as usize](&mut m, a, b, word & 255);
        }
        sum = m.sum(sum);
    }
    sum
}

trait Shape {
    fn area(&self) -> u64;
    fn grow(&mut self, by: u32);
}

macro_rules! shapes {
    ($($name:ident($($field:tt)*) $area:expr;)*) => {$(
        struct $name(u32, u32);
        impl Shape for $name {
            #[inline(never)]
            fn area(&self) -> u64 {
                let f: fn(u64, u64) -> u64 = $area;
                f(u64::from(self.0), u64::from(self.1))
            }
            #[inline(never)]
            fn grow(&mut self, by: u32) {
                self.0 = self.0.wrapping_add(by) & 0xFFFF;
                self.1 = self.1.wrapping_mul(5).wrapping_add(by) & 0xFFFF;
            }
        }
    )*};
}

shapes! {
    Rectangle() |a, b| a * b;
    Triangle() |a, b| a * b / 2;
    Circle() |a, _| a * a * 355 / 113;
    Frame() |a, b| (a + b) * 2;
}

/// Virtual calls on a mix of types.
#[unsafe(no_mangle)]
extern "C" fn virtual_calls(n: i32) -> i64 {
    let mut random = Random::new(11);
    let mut shapes: Vec<Box<dyn Shape>> = (0..1000)
        .map(|_| -> Box<dyn Shape> {
            let (a, b) = (random.below(500), random.below(500));
            match random.below(4) {
                0 => Box::new(Rectangle(a, b)),
                1 => Box::new(Triangle(a, b)),
                2 => Box::new(Circle(a, b)),
                _ => Box::new(Frame(a, b)),
            }
        })
        .collect();
    let mut sum = 0;
    for round in 0..n * 10 {
        for shape in &mut shapes {
            sum = mix(sum, shape.area());
            shape.grow(round as u32);
        }
    }
    sum
}

macro_rules! small {
    ($($name:ident $next:ident $k:expr;)*) => {$(
        #[inline(never)]
        fn $name(x: u32, y: u32) -> u32 {
            if x & 7 == $k { x ^ y } else { $next(x.wrapping_add(y), y.rotate_left($k)) }
        }
    )*};
}

small! {
    s0 s1 0; s1 s2 1; s2 s3 2; s3 s4 3; s4 s5 4; s5 s6 5; s6 s7 6; s7 s8 7;
}

#[inline(never)]
fn s8(x: u32, y: u32) -> u32 {
    x.wrapping_mul(y | 1)
}

#[inline(never)]
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[inline(never)]
fn leaf(x: u32) -> u32 {
    x.wrapping_mul(0x9E37_79B9) >> 7
}

/// Direct calls of many small functions.
#[unsafe(no_mangle)]
extern "C" fn small_calls(n: i32) -> i64 {
    let mut sum = 0;
    let mut x = 1u32;
    for i in 0..n as u32 * 10_000 {
        x = s0(leaf(x), i).wrapping_add(leaf(i ^ x));
        if i & 15 == 0 {
            x ^= gcd(x | 1, i | 1);
        }
    }
    sum = mix(sum, u64::from(x));
    sum
}
