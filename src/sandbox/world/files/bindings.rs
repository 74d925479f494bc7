//! Generated from WASI's own package; streams and errors are those of the rest of the world.

wasmtime::component::bindgen!({
    path: "world/files/wit",
    world: "longhaul:host/files",
    with: {
        "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:filesystem/types.descriptor": super::descriptor::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": super::descriptor::Listing,
    },
    imports: {
        "wasi:filesystem/types.[method]descriptor.read-via-stream": trappable,
        "wasi:filesystem/types.[method]descriptor.write-via-stream": trappable,
        "wasi:filesystem/types.[method]descriptor.append-via-stream": trappable,
        "wasi:filesystem/types.[method]descriptor.advise": trappable,
        "wasi:filesystem/types.[method]descriptor.get-flags": trappable,
        "wasi:filesystem/types.[method]descriptor.get-type": trappable,
        "wasi:filesystem/types.[method]descriptor.is-same-object": trappable,
        "wasi:filesystem/types.[drop]descriptor": trappable,
        "wasi:filesystem/types.[drop]directory-entry-stream": trappable,
        "wasi:filesystem/types.[method]directory-entry-stream.read-directory-entry": trappable,
        "wasi:filesystem/types.filesystem-error-code": trappable,
        "wasi:filesystem/preopens.get-directories": trappable,
        default: async | trappable,
    },
    trappable_error_type: {
        "wasi:filesystem/types.error-code" => super::fault::Fault,
    },
});

pub use self::wasi::filesystem::{preopens, types};
