//! Recursion and floating point.

use crate::{Random, mix};
use std::hint::black_box;

#[inline(never)]
fn fib_of(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fib_of(n - 1) + fib_of(n - 2) }
}

/// Recursion with two calls.
#[unsafe(no_mangle)]
extern "C" fn fib(n: i32) -> i64 {
    (0..n).fold(0, |sum, i| mix(sum, fib_of(black_box(24 + (i as u32 & 1)))))
}

#[inline(never)]
fn ackermann_of(m: u32, n: u32) -> u32 {
    match (m, n) {
        (0, n) => n + 1,
        (m, 0) => ackermann_of(m - 1, 1),
        (m, n) => {
            let inner = ackermann_of(m, n - 1);
            ackermann_of(m - 1, inner)
        }
    }
}

/// Deep recursion.
#[unsafe(no_mangle)]
extern "C" fn ackermann(n: i32) -> i64 {
    (0..n).fold(0, |sum, _| mix(sum, u64::from(ackermann_of(black_box(3), black_box(5)))))
}

/// Multiplication of two 96 × 96 matrices.
#[unsafe(no_mangle)]
extern "C" fn matrix(n: i32) -> i64 {
    const SIDE: usize = 96;
    let mut random = Random::new(1);
    let a: Vec<f64> = (0..SIDE * SIDE).map(|_| random.unit()).collect();
    let b: Vec<f64> = (0..SIDE * SIDE).map(|_| random.unit()).collect();
    let mut sum = 0;
    for _ in 0..n {
        let (a, b) = (black_box(&a), black_box(&b));
        let mut c = vec![0.0; SIDE * SIDE];
        for i in 0..SIDE {
            for j in 0..SIDE {
                c[i * SIDE + j] = (0..SIDE).map(|k| a[i * SIDE + k] * b[k * SIDE + j]).sum();
            }
        }
        sum = c.iter().fold(sum, |sum, x| mix(sum, x.to_bits()));
    }
    sum
}

/// The outer planets, moved by gravity.
#[unsafe(no_mangle)]
extern "C" fn nbody(n: i32) -> i64 {
    let mut random = Random::new(5);
    let mut bodies: Vec<[f64; 7]> = (0..5)
        .map(|i| {
            std::array::from_fn(|k| match k {
                6 => {
                    if i == 0 {
                        39.0
                    } else {
                        0.01 * (1.0 + random.unit())
                    }
                }
                0..3 => f64::from(i) * 3.0 + random.unit(),
                _ => random.unit() - 0.5,
            })
        })
        .collect();
    for _ in 0..n * 1000 {
        for i in 0..bodies.len() {
            let (head, tail) = bodies.split_at_mut(i + 1);
            let one = &mut head[i];
            for other in tail {
                let d = [one[0] - other[0], one[1] - other[1], one[2] - other[2]];
                let square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                let force = 0.001 / (square * square.sqrt());
                for (k, d) in d.iter().enumerate() {
                    one[3 + k] -= d * other[6] * force;
                    other[3 + k] += d * one[6] * force;
                }
            }
        }
        for body in &mut bodies {
            for k in 0..3 {
                body[k] += 0.001 * body[3 + k];
            }
        }
    }
    bodies.iter().flatten().fold(0, |sum, x| mix(sum, x.to_bits()))
}

#[derive(Clone, Copy)]
struct V(f32, f32, f32);

impl V {
    fn dot(self, o: V) -> f32 {
        self.0 * o.0 + self.1 * o.1 + self.2 * o.2
    }
    fn add(self, o: V, k: f32) -> V {
        V(self.0 + o.0 * k, self.1 + o.1 * k, self.2 + o.2 * k)
    }
    fn unit(self) -> V {
        let k = 1.0 / self.dot(self).sqrt();
        V(self.0 * k, self.1 * k, self.2 * k)
    }
}

struct Sphere {
    center: V,
    radius: f32,
    mirror: f32,
    color: f32,
}

fn hit(scene: &[Sphere], from: V, to: V) -> Option<(f32, &Sphere)> {
    let mut best: Option<(f32, &Sphere)> = None;
    for sphere in scene {
        let d = sphere.center.add(from, -1.0);
        let along = d.dot(to);
        let inside = along * along - d.dot(d) + sphere.radius * sphere.radius;
        if inside > 0.0 {
            let t = along - inside.sqrt();
            if t > 1e-3 && best.is_none_or(|(b, _)| t < b) {
                best = Some((t, sphere));
            }
        }
    }
    best
}

fn trace(scene: &[Sphere], from: V, to: V, depth: u32) -> f32 {
    let Some((t, sphere)) = hit(scene, from, to) else { return 0.3 + 0.3 * to.1 };
    let at = from.add(to, t);
    let normal = at.add(sphere.center, -1.0).unit();
    let light = V(0.5, 0.8, -0.3).unit();
    let shade = if hit(scene, at, light).is_some() { 0.0 } else { normal.dot(light).max(0.0) };
    let own = sphere.color * (0.2 + 0.8 * shade);
    if depth == 0 || sphere.mirror == 0.0 {
        return own;
    }
    let reflected = to.add(normal, -2.0 * to.dot(normal));
    own * (1.0 - sphere.mirror) + sphere.mirror * trace(scene, at, reflected, depth - 1)
}

/// A float ray tracer: spheres, shadows, reflections.
#[unsafe(no_mangle)]
extern "C" fn raytrace(n: i32) -> i64 {
    let mut random = Random::new(9);
    let mut one = |range: f64| ((random.unit() - 0.5) * range) as f32;
    let scene: Vec<Sphere> = (0..24)
        .map(|i| Sphere {
            center: V(one(8.0), one(6.0), 6.0 + one(6.0)),
            radius: 0.6 + one(0.6),
            mirror: if i % 3 == 0 { 0.0 } else { 0.4 },
            color: 0.6 + one(0.8),
        })
        .collect();
    let mut sum = 0;
    for frame in 0..n {
        for y in 0..64 {
            for x in 0..64 {
                let (x, y) = (x as f32 / 32.0 - 1.0, y as f32 / 32.0 - 1.0);
                let to = V(x + frame as f32 * 0.01, y, 1.5).unit();
                sum = mix(sum, u64::from(trace(&scene, V(0.0, 0.0, -2.0), to, 4).to_bits()));
            }
        }
    }
    sum
}
