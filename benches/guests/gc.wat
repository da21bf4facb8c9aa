;; Kernels of garbage collection by hand. Each exported function is (i32) -> i64 and does n units of work.
(module
  (rec (type $node (struct (field $value (mut i64)) (field $next (mut (ref null $node))))))
  (rec (type $tree (struct (field $left (ref null $tree)) (field $right (ref null $tree)))))
  (type $shape (sub (struct (field $size (mut i32)))))
  (type $square (sub $shape (struct (field (mut i32)) (field i32))))
  (type $circle (sub $shape (struct (field (mut i32)) (field i64))))
  (type $round (sub $circle (struct (field (mut i32)) (field i64) (field f64))))
  (type $point (struct (field (mut i64)) (field (mut i64)) (field (mut i32)) (field (mut f64))))
  (type $i32s (array (mut i32)))
  (type $bytes (array (mut i8)))
  (type $refs (array (mut (ref null $node))))
  (type $shapes (array (mut (ref null $shape))))

  ;; Ten thousand structs that nobody keeps but the last.
  (func (export "small_structs") (param $n i32) (result i64)
    (local $p (ref null $point)) (local $sum i64) (local $i i32)
    (loop $again
      (local.set $i (i32.const 10000))
      (loop $more
        (local.set $p (struct.new $point (i64.extend_i32_u (local.get $i)) (i64.const 1) (local.get $i) (f64.const 2)))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (local.set $sum (i64.add (local.get $sum) (struct.get $point 0 (local.get $p))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; A list of ten thousand nodes, which is then summed.
  (func (export "linked_list") (param $n i32) (result i64)
    (local $list (ref null $node)) (local $sum i64) (local $i i32)
    (loop $again
      (local.set $i (i32.const 10000))
      (local.set $list (ref.null $node))
      (loop $more
        (local.set $list (struct.new $node (i64.extend_i32_u (local.get $i)) (local.get $list)))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (loop $walk
        (local.set $sum (i64.add (local.get $sum) (struct.get $node $value (local.get $list))))
        (local.set $list (struct.get $node $next (local.get $list)))
        (br_if $walk (i32.eqz (ref.is_null (local.get $list)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func $make (param $depth i32) (result (ref $tree))
    (if (result (ref $tree)) (local.get $depth)
      (then (struct.new $tree
        (call $make (i32.sub (local.get $depth) (i32.const 1)))
        (call $make (i32.sub (local.get $depth) (i32.const 1)))))
      (else (struct.new $tree (ref.null $tree) (ref.null $tree)))))

  (func $count (param $t (ref $tree)) (result i32)
    (local $l (ref null $tree))
    (local.set $l (struct.get $tree $left (local.get $t)))
    (if (result i32) (ref.is_null (local.get $l))
      (then (i32.const 1))
      (else (i32.add (i32.const 1) (i32.add
        (call $count (ref.as_non_null (local.get $l)))
        (call $count (ref.as_non_null (struct.get $tree $right (local.get $t)))))))))

  ;; A tree of 8191 nodes that stays, and four that go.
  (func (export "binary_trees") (param $n i32) (result i64)
    (local $kept (ref null $tree)) (local $sum i64) (local $i i32)
    (local.set $kept (call $make (i32.const 12)))
    (loop $again
      (local.set $i (i32.const 4))
      (loop $more
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $count (call $make (i32.const 10))))))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u (call $count (ref.as_non_null (local.get $kept))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Fields of one object, read and written.
  (func (export "field_access") (param $n i32) (result i64)
    (local $p (ref $point)) (local $i i32)
    (local.set $p (struct.new $point (i64.const 1) (i64.const 2) (i32.const 3) (f64.const 4)))
    (loop $again
      (local.set $i (i32.const 10000))
      (loop $more
        (struct.set $point 0 (local.get $p)
          (i64.add (struct.get $point 0 (local.get $p)) (struct.get $point 1 (local.get $p))))
        (struct.set $point 1 (local.get $p) (i64.xor (struct.get $point 0 (local.get $p)) (i64.const 77)))
        (struct.set $point 2 (local.get $p) (i32.add (struct.get $point 2 (local.get $p)) (local.get $i)))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add (struct.get $point 0 (local.get $p)) (i64.extend_i32_u (struct.get $point 2 (local.get $p)))))

  ;; Casts of objects of three types to their supertypes, and tests that fail.
  (func (export "casts") (param $n i32) (result i64)
    (local $all (ref $shapes)) (local $x (ref null $shape)) (local $sum i64) (local $i i32)
    (local.set $all (array.new_fixed $shapes 4
      (struct.new $shape (i32.const 1)) (struct.new $square (i32.const 2) (i32.const 20))
      (struct.new $circle (i32.const 3) (i64.const 30)) (struct.new $round (i32.const 4) (i64.const 40) (f64.const 4))))
    (loop $again
      (local.set $i (i32.const 10000))
      (loop $more
        (local.set $x (array.get $shapes (local.get $all) (i32.and (local.get $i) (i32.const 3))))
        (block $next
          (block $circle (result (ref $circle))
            (drop (br_on_cast $circle (ref null $shape) (ref $circle) (local.get $x)))
            (if (ref.test (ref $square) (local.get $x)) (then
              (local.set $sum (i64.add (local.get $sum)
                (i64.extend_i32_u (struct.get $square 1 (ref.cast (ref $square) (local.get $x))))))))
            (br $next))
          (local.set $sum (i64.add (struct.get $circle 1) (local.get $sum))))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Elements of an array by index.
  (func (export "array_elements") (param $n i32) (result i64)
    (local $a (ref $i32s)) (local $sum i64) (local $i i32)
    (local.set $a (array.new $i32s (i32.const 3) (i32.const 4096)))
    (loop $again
      (local.set $i (i32.const 4095))
      (loop $more
        (array.set $i32s (local.get $a) (local.get $i)
          (i32.add (array.get $i32s (local.get $a) (i32.sub (local.get $i) (i32.const 1))) (local.get $i)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (array.get $i32s (local.get $a) (local.get $i)))))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; array.new and array.fill of 4 to 4096 elements.
  (func (export "array_fill") (param $n i32) (result i64)
    (local $a (ref null $i32s)) (local $b (ref null $bytes)) (local $sum i64) (local $len i32)
    (loop $again
      (local.set $len (i32.const 4))
      (loop $sizes
        (local.set $a (array.new $i32s (local.get $len) (local.get $len)))
        (local.set $b (array.new $bytes (local.get $len) (local.get $len)))
        (array.fill $i32s (local.get $a) (i32.const 1) (local.get $n) (i32.sub (local.get $len) (i32.const 1)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32.add
          (array.get $i32s (local.get $a) (i32.const 3)) (array.get_u $bytes (local.get $b) (i32.const 3))))))
        (local.set $len (i32.mul (local.get $len) (i32.const 4)))
        (br_if $sizes (i32.le_u (local.get $len) (i32.const 4096))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; array.copy of 4 to 4096 elements: numbers, bytes, references.
  (func (export "array_copy") (param $n i32) (result i64)
    (local $a (ref $i32s)) (local $b (ref $bytes)) (local $r (ref $refs)) (local $sum i64) (local $len i32)
    (local.set $a (array.new $i32s (i32.const 5) (i32.const 8200)))
    (local.set $b (array.new $bytes (i32.const 6) (i32.const 8200)))
    (local.set $r (array.new $refs (struct.new $node (i64.const 7) (ref.null $node)) (i32.const 8200)))
    (loop $again
      (local.set $len (i32.const 4))
      (loop $sizes
        (array.copy $i32s $i32s (local.get $a) (i32.const 4097) (local.get $a) (i32.const 1) (local.get $len))
        (array.copy $bytes $bytes (local.get $b) (i32.const 4097) (local.get $b) (i32.const 1) (local.get $len))
        (array.copy $refs $refs (local.get $r) (i32.const 4097) (local.get $r) (i32.const 1) (local.get $len))
        (local.set $sum (i64.add (local.get $sum)
          (struct.get $node $value (array.get $refs (local.get $r) (i32.add (local.get $len) (i32.const 4096))))))
        (local.set $len (i32.mul (local.get $len) (i32.const 4)))
        (br_if $sizes (i32.le_u (local.get $len) (i32.const 4096))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add (local.get $sum) (i64.extend_i32_u (array.get $i32s (local.get $a) (i32.const 4100))))))
