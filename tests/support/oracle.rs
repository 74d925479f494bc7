use serde_json::Value;

/// What a program of the interpreter guest must come to, worked out from the program alone. The rules stand
/// at the top of the guest; nothing here is shared with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Oracle {
    pub acc: u64,
    pub ops: u64,
    pub steps: u64,
    pub trace: String,
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

impl Oracle {
    pub fn of(program: &[Value]) -> Self {
        let mut oracle = Self { acc: START, ops: 0, steps: 0, trace: String::new() };
        oracle.run(program, 0);
        oracle
    }

    /// The guest's hash of what it printed.
    pub fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(START, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }

    fn run(&mut self, program: &[Value], mut index: u64) {
        for op in program {
            let body = op["body"].as_array().map_or(&[][..], Vec::as_slice);
            self.ops += 1;
            self.fold(index);
            self.fold(value(op));
            match op["op"].as_str() {
                Some("step") => {
                    self.steps += 1;
                    self.trace += &format!("{} {}\n", self.steps, op["name"].as_str().unwrap_or_default());
                }
                Some("compute") => {
                    for _ in 0..op["rounds"].as_u64().unwrap_or_default() {
                        self.acc ^= self.acc << 13;
                        self.acc ^= self.acc >> 7;
                        self.acc ^= self.acc << 17;
                    }
                }
                Some("loop") => {
                    for pass in 0..op["times"].as_u64().unwrap_or_default() {
                        self.fold(pass);
                        self.run(body, index + 1);
                    }
                }
                _ => {}
            }
            index += 1 + size(body);
        }
    }

    fn fold(&mut self, number: u64) {
        self.acc = (self.acc ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

fn value(op: &Value) -> u64 {
    let number = |name: &str| op[name].as_u64().unwrap_or_default();
    let text = |name: &str| Oracle::hash(op[name].as_str().unwrap_or_default().as_bytes());
    match op["op"].as_str().unwrap_or_default() {
        "step" => text("name"),
        "output" | "status" | "log" | "print" => text("text"),
        "progress" => number("done"),
        "compute" => number("rounds"),
        "random" => number("bytes"),
        "sleep" | "nap" | "timer" => number("ms"),
        "http" | "http_clock" | "http_drop" => {
            Oracle::hash(op["request"]["url"].as_str().unwrap_or_default().as_bytes())
        }
        "http_many" => op["requests"].as_array().map_or(0, |all| all.len() as u64),
        "wait_many" => op["ms"].as_array().map_or(0, |all| all.len() as u64),
        "call" => text("tool"),
        "spawn" => op["calls"].as_array().map_or(0, |all| all.len() as u64),
        "send" => text("name"),
        "state_put" => op["entries"].as_array().map_or(0, |all| all.len() as u64),
        "state_add" => number("by"),
        "state_get" | "state_delete" | "state_watch" => text("key"),
        "receive" => op["names"].as_array().map_or(0, |all| all.len() as u64),
        "ask" => text("key"),
        "ask_many" => op["keys"].as_array().map_or(0, |all| all.len() as u64),
        "sample" => text("prompt"),
        "loop" => number("times"),
        _ => 0,
    }
}

fn size(program: &[Value]) -> u64 {
    program.iter().map(|op| 1 + op["body"].as_array().map_or(0, |body| size(body))).sum()
}
