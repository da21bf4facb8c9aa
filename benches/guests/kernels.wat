;; Kernels by hand. Each exported function is (i32) -> i64 and does n units of work.
(module
  (memory 4)
  (type $op (func (param i64) (result i64)))
  (table 8 funcref)
  (elem (i32.const 0) $op0 $op1 $op2 $op3 $op4 $op5 $op6 $op7)
  (func $op0 (type $op) (i64.add (local.get 0) (i64.const 3)))
  (func $op1 (type $op) (i64.xor (local.get 0) (i64.const 0x5555)))
  (func $op2 (type $op) (i64.rotl (local.get 0) (i64.const 7)))
  (func $op3 (type $op) (i64.mul (local.get 0) (i64.const 0x9E3779B97F4A7C15)))
  (func $op4 (type $op) (i64.sub (i64.const 0) (local.get 0)))
  (func $op5 (type $op) (i64.shr_u (local.get 0) (i64.const 1)))
  (func $op6 (type $op) (i64.or (local.get 0) (i64.const 1)))
  (func $op7 (type $op) (i64.xor (local.get 0) (i64.shl (local.get 0) (i64.const 9))))

  ;; Calls through a table, an unpredictable index each time.
  (func (export "wat_call_indirect") (param $n i32) (result i64)
    (local $x i64)
    (local.set $n (i32.mul (local.get $n) (i32.const 10000)))
    (local.set $x (i64.const 88172645463325252))
    (loop $again
      (local.set $x (call_indirect (type $op)
        (i64.add (local.get $x) (i64.extend_i32_u (local.get $n)))
        (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 3))) (i32.const 7))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))

  ;; The same index every time: the check of the signature is what costs.
  (func (export "wat_call_indirect_same") (param $n i32) (result i64)
    (local $x i64)
    (local.set $n (i32.mul (local.get $n) (i32.const 10000)))
    (loop $again
      (local.set $x (call_indirect (type $op) (local.get $x) (i32.const 2)))
      (local.set $x (call_indirect (type $op) (local.get $x) (i32.const 0)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))

  ;; A global counter in a loop.
  (global $count (mut i64) (i64.const 0))
  (func (export "wat_global") (param $n i32) (result i64)
    (global.set $count (i64.const 0))
    (local.set $n (i32.mul (local.get $n) (i32.const 10000)))
    (loop $again
      (global.set $count (i64.add (global.get $count) (i64.extend_i32_u (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (global.get $count))

  ;; memory.copy and memory.fill of 16 bytes to 64 KiB.
  (func (export "wat_bulk") (param $n i32) (result i64)
    (local $len i32) (local $sum i64)
    (loop $again
      (local.set $len (i32.const 16))
      (loop $sizes
        (memory.fill (i32.const 0) (local.get $len) (local.get $len))
        (memory.copy (i32.const 65536) (i32.const 0) (local.get $len))
        (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 65540))))
        (local.set $len (i32.mul (local.get $len) (i32.const 4)))
        (br_if $sizes (i32.le_u (local.get $len) (i32.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; memory.copy of 8 to 64 bytes: what the call of the runtime costs.
  (func (export "wat_bulk_small") (param $n i32) (result i64)
    (local $len i32) (local $sum i64)
    (local.set $n (i32.mul (local.get $n) (i32.const 100)))
    (loop $again
      (local.set $len (i32.const 8))
      (loop $sizes
        (memory.copy (i32.const 65536) (local.get $len) (local.get $len))
        (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 65536))))
        (local.set $len (i32.add (local.get $len) (i32.const 8)))
        (br_if $sizes (i32.le_u (local.get $len) (i32.const 64))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; memory.size and memory.grow by nothing.
  (func (export "wat_memory_grow") (param $n i32) (result i64)
    (local $sum i64)
    (local.set $n (i32.mul (local.get $n) (i32.const 100)))
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u (i32.add (memory.size) (memory.grow (i32.const 0))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Division, remainder, conversion: instructions that can trap.
  (func (export "wat_trapping_arithmetic") (param $n i32) (result i64)
    (local $x i64) (local $d f64)
    (local.set $n (i32.mul (local.get $n) (i32.const 1000)))
    (local.set $x (i64.const 1234567890123))
    (loop $again
      (local.set $d (f64.sqrt (f64.convert_i64_u (i64.and (local.get $x) (i64.const 0xffffffff)))))
      (local.set $x (i64.add
        (i64.div_u (local.get $x) (i64.extend_i32_u (i32.or (local.get $n) (i32.const 1))))
        (i64.rem_s (local.get $x) (i64.const 1000003))))
      (local.set $x (i64.add (local.get $x) (i64.trunc_f64_s (f64.mul (local.get $d) (local.get $d)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
)
