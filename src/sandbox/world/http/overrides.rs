//! Those functions of `wasi:http` in which the host must know what the guest does, at the moment it does it.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostFutureIncomingResponse, HostOutgoingBody as _, HostOutgoingRequest as _, RequestOptions,
    Trailers,
};
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{self, HostOutgoingRequest};
use wasmtime_wasi_http::{WasiHttpView, p2};

use super::bounded::Bounded;
use super::shown::Shown;
use crate::sandbox::world::World;

const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

type Handled = Result<Resource<types::HostFutureIncomingResponse>, ErrorCode>;

/// Stock `wasi:http`, with these in place of its own.
pub fn add_to_linker(linker: &mut Linker<World>) -> Result<()> {
    p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    linker
        .instance(HANDLER)?
        .func_wrap_async("handle", |store, arguments| Box::new(handle(store, arguments)))?;
    let mut interface = linker.instance(TYPES)?;
    interface.func_wrap("[method]outgoing-request.body", body)?;
    interface.func_wrap("[method]outgoing-body.write", write)?;
    interface.func_wrap("[static]outgoing-body.finish", finish)?;
    interface.func_wrap("[method]incoming-body.stream", stream)?;
    let future = ResourceType::host::<types::HostFutureIncomingResponse>();
    interface.resource(
        "future-incoming-response",
        future,
        |mut store: StoreContextMut<'_, World>, rep| {
            let world = store.data_mut();
            world.http_hooks.let_go(rep);
            HostFutureIncomingResponse::drop(&mut world.http(), Resource::new_own(rep))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn handle(
    mut store: StoreContextMut<'_, World>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>),
) -> Result<(Handled,)> {
    store.data().write_pending().await?;
    let world = store.data_mut();
    world.http_hooks.sends(request.rep());
    let future = match world.http().handle(request, options) {
        Ok(future) => future,
        Err(error) => return Ok((Err(error.downcast()?),)),
    };
    world.http_hooks.hold(future.rep());
    Ok((Ok(future),))
}

fn body(
    mut store: StoreContextMut<'_, World>,
    (request,): (Resource<HostOutgoingRequest>,),
) -> Result<(Result<Resource<HostOutgoingBody>, ()>,)> {
    let world = store.data_mut();
    let request = request.rep();
    let body = world.http().body(Resource::new_borrow(request))?;
    if let Ok(body) = &body {
        world.http_hooks.made(request, body.rep());
    }
    Ok((body,))
}

fn finish(
    mut store: StoreContextMut<'_, World>,
    (body, trailers): (Resource<HostOutgoingBody>, Option<Resource<Trailers>>),
) -> Result<(Result<(), ErrorCode>,)> {
    let world = store.data_mut();
    world.http_hooks.finishes(body.rep());
    match world.http().finish(body, trailers) {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

fn write(
    mut store: StoreContextMut<'_, World>,
    (body,): (Resource<HostOutgoingBody>,),
) -> Result<(Result<Resource<DynOutputStream>, ()>,)> {
    let world = store.data_mut();
    let Ok(stream) = world.http().write(Resource::new_borrow(body.rep()))? else { return Ok((Err(()),)) };
    let inner = world.table.delete(stream)?;
    let held = world.http_hooks.held(body.rep());
    let bounded = Bounded::new(inner, held, world.journal.clone(), world.meter.clone());
    let bounded: DynOutputStream = Box::new(bounded);
    Ok((Ok(world.table.push_child(bounded, &body)?),))
}

fn stream(
    mut store: StoreContextMut<'_, World>,
    (body,): (Resource<HostIncomingBody>,),
) -> Result<(Result<Resource<DynInputStream>, ()>,)> {
    let world = store.data_mut();
    let Some(inner) = world.table.get_mut(&body)?.take_stream() else { return Ok((Err(()),)) };
    let shown = Shown::new(inner, world.journal.clone(), world.meter.clone());
    let shown: DynInputStream = Box::new(shown);
    Ok((Ok(world.table.push_child(shown, &body)?),))
}
