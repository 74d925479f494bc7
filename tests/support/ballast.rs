/// So many functions of a core module, in WAT, each of which the compiler is busy with for a while: in a loop, every one of
/// its many values depends on others.
pub fn ballast(functions: usize) -> String {
    let step = |n: usize| {
        let local = |factor: usize| (n * factor + 1) % 40;
        format!(
            "local.get {} local.get {} i32.mul local.get {} i32.xor local.set {} ",
            local(1),
            local(7),
            local(13),
            local(11)
        )
    };
    let steps: String = (0..400).map(step).collect();
    let locals = "i32 ".repeat(40);
    format!("(func (local {locals}) loop {steps} local.get 0 br_if 0 end)").repeat(functions)
}
