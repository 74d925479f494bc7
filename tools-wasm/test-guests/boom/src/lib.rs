//! Typed exports of the world itself, without an interface. `boom` always traps; `defuse` never does, so that a test
//! can see that a trap harms nobody else.

wit_bindgen::generate!({
    inline: "
        package test:boom;

        world boom {
            export boom: func(message: string) -> string;
            export defuse: func(message: string) -> string;
        }
    "
});

struct Boom;

impl Guest for Boom {
    fn boom(message: String) -> String {
        panic!("boom: {message}");
    }

    fn defuse(message: String) -> String {
        format!("defused: {message}")
    }
}

export!(Boom);
