//! A component that says itself which tools it has.

use std::sync::Arc;

use wasmtime::component::InstancePre;

use super::inspect::SelfDescribed;
use super::instance;
use super::limiter::Limiter;
use super::stop::Stop;
use super::threads::{Metered, Ticker};
use super::world::World;
use super::world::journal::Journal;
use crate::authority::Grant;
use crate::engine::InspectError;
use crate::limits;

/// Asks the component itself which tools it has, in a world where nothing has an effect.
pub(super) async fn describe(
    ticker: &Arc<Ticker>,
    pre: &InstancePre<World>,
) -> Result<Vec<SelfDescribed>, InspectError> {
    let world = World::new(
        Journal::of_inspection(),
        Limiter::new(limits::INSPECTION_MEMORY_MIB, None),
        Grant::default(),
        &[],
        None,
    );
    let meter = world.meter.clone();
    let mut store = instance::store(pre.engine(), world);
    let asked = instance::describe(&mut store, pre);
    Metered::new(ticker, meter, asked).await.map_err(|error| match error.downcast::<Stop>() {
        Ok(Stop::HostFault(message)) => InspectError::HostFault(message),
        Ok(stop) => InspectError::BadDefinition(stop.to_string()),
        Err(error) => InspectError::BadDefinition(format!(
            "the component fails to tell its tools: {}",
            error.root_cause()
        )),
    })
}
