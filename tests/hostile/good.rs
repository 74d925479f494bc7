//! Good components, each with another part of the component model, to be made bad.

/// Each exports `go-NAME`, which takes nothing and ends at once.
const ALL: [fn(&str) -> String; 6] = [texts, values, resources, nested, asynchronous, imports];

pub const COUNT: usize = ALL.len();

/// One of them, whose function has this name.
pub fn good(number: usize, name: &str) -> Vec<u8> {
    let text = ALL[number % COUNT](name);
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A module with memory, `realloc` and functions of some signatures.
const LIBC: &str = r#"
    (core module $m
        (memory (export "memory") 1)
        (table 4 funcref)
        (elem (i32.const 1) $none $get)
        (global $next (mut i32) (i32.const 1024))
        (data (i32.const 16) "some bytes of data")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (if (i32.gt_u (global.get $next) (i32.const 65536)) (then unreachable))
            (local.get $at))
        (func $none (export "none"))
        (func $get (export "get") (result i32) i32.const 8)
        (func (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (local.get 1)) i32.const 8)
        (func (export "sum") (param i32 i64 f64) (result i32)
            (loop $again
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if $again (i32.gt_s (local.get 0) (i32.const 0))))
            (i32.add (local.get 0) (i32.wrap_i64 (local.get 1))))
        (func (export "drop") (param i32)))
    (core instance $i (instantiate $m))
    (func $none (canon lift (core func $i "none")))
"#;

fn texts(name: &str) -> String {
    format!(
        r#"(component {LIBC}
            (func (export "echo-{name}") (param "text" string) (result string)
                (canon lift (core func $i "echo") (memory $i "memory") (realloc (func $i "realloc"))))
            (func (export "bytes-{name}") (param "bytes" (list u8)) (result (list u32))
                (canon lift (core func $i "echo") (memory $i "memory") (realloc (func $i "realloc"))))
            (export "go-{name}" (func $none)))"#
    )
}

fn values(name: &str) -> String {
    format!(
        r#"(component {LIBC}
            (type $point' (record (field "x" s32) (field "y" s64) (field "z" f64)))
            (export $point "point-{name}" (type $point'))
            (type $kind' (variant (case "none") (case "some" u32) (case "many" u32)))
            (export $kind "kind-{name}" (type $kind'))
            (func (export "sum-{name}") (param "point" $point) (result u32) (canon lift (core func $i "sum")))
            (func (export "kind-of-{name}") (param "a" (option (tuple u8 bool))) (result (result (error $kind)))
                (canon lift (core func $i "kind") (memory $i "memory")))
            (export "go-{name}" (func $none)))"#
    )
    .replace(
        r#"(func (export "drop") (param i32)))"#,
        r#"(func (export "drop") (param i32)) (func (export "kind") (param i32 i32 i32) (result i32) i32.const 32))"#,
    )
}

fn resources(name: &str) -> String {
    format!(
        r#"(component {LIBC}
            (type $r' (resource (rep i32) (dtor (func $i "drop"))))
            (core func $new (canon resource.new $r'))
            (core func $rep (canon resource.rep $r'))
            (core func $drop (canon resource.drop $r'))
            (core module $n (import "r" "new" (func $new (param i32) (result i32)))
                (import "r" "rep" (func $rep (param i32) (result i32))) (import "r" "drop" (func $drop (param i32)))
                (func (export "make") (local $h i32)
                    (local.set $h (call $new (i32.const 5)))
                    (drop (call $rep (local.get $h))) (call $drop (local.get $h)))
                (func (export "open") (result i32) (call $new (i32.const 6))))
            (core instance $n (instantiate $n (with "r" (instance
                (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
            (export $r "thing-{name}" (type $r'))
            (func (export "open-{name}") (result (own $r)) (canon lift (core func $n "open")))
            (func (export "go-{name}") (canon lift (core func $n "make"))))"#
    )
}

fn nested(name: &str) -> String {
    format!(
        r#"(component
            (component $inner {LIBC} (export "none" (func $none))
                (func (export "get") (result u32) (canon lift (core func $i "get"))))
            (instance $one (instantiate $inner))
            (instance $two (instantiate $inner))
            (alias export $one "none" (func $a))
            (alias export $two "get" (func $b))
            (component $outer (import "f" (func $f (result u32))) (export "g" (func $f)))
            (instance $three (instantiate $outer (with "f" (func $b))))
            (alias export $three "g" (func $g))
            (instance $shop (export "open" (func $g)) (export "close" (func $a)))
            (export "test:shop/{name}@1.2.3" (instance $shop))
            (export "go-{name}" (func $a)))"#
    )
}

/// Parts that are put aside, so that the rest is compiled.
fn asynchronous(name: &str) -> String {
    format!(
        r#"(component {LIBC}
            (core func (canon task.cancel)) (core func (canon waitable-set.new))
            (component (core func (canon subtask.drop)) (core func (canon backpressure.inc)))
            (core func (canon context.get i32 0))
            (func (export "sum-{name}") (param "a" u32) (param "b" s64) (param "c" f64) (result s32)
                (canon lift (core func $i "sum")))
            (export "go-{name}" (func $none)))"#
    )
}

fn imports(name: &str) -> String {
    format!(
        r#"(component
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
            (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
            (import "longhaul:tool/progress@0.1.0" (instance $progress
                (export "status" (func (param "message" string)))))
            (core module $libc (memory (export "memory") 1) (data (i32.const 0) "under way"))
            (core instance $libc (instantiate $libc))
            (core func $now (canon lower (func $clock "now")))
            (core func $draw (canon lower (func $random "get-random-u64")))
            (core func $status (canon lower (func $progress "status") (memory $libc "memory")))
            (core module $m
                (import "host" "now" (func $now (result i64))) (import "host" "draw" (func $draw (result i64)))
                (import "host" "status" (func $status (param i32 i32)))
                (func (export "run") (drop (call $now)) (drop (call $draw))
                    (call $status (i32.const 0) (i32.const 9))))
            (core instance $i (instantiate $m (with "host" (instance (export "now" (func $now))
                (export "draw" (func $draw)) (export "status" (func $status))))))
            (func (export "go-{name}") (canon lift (core func $i "run"))))"#
    )
}
