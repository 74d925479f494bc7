//! `longhaul key`: the key by which the owner of a running server is known over HTTP.

use serde_json::json;

use crate::cli::args::KeyArgs;
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::owner_key;
use crate::cli::server::server_file::ServerInfo;
use crate::private::Purpose;
use crate::store::{Presence, Store};

pub async fn run(args: &KeyArgs, context: &Context) -> Result<Exit> {
    let folder = context.data();
    let presence = Store::presence(folder).map_err(CliError::failed)?;
    if args.renew {
        if matches!(presence, Presence::InUse { .. }) {
            return Err(CliError::refused("the key is not changed while a server runs").next("stop it first"));
        }
        let engine = Access::open_offline(Purpose::Write, context).await?;
        let renewed = owner_key::renew_owner_key(&engine).await;
        engine.shutdown().await;
        renewed?;
        eprintln!(
            "the next start has another key; hosts that keep the one before in a variable need the new one"
        );
        return Ok(Exit::Done);
    }
    let info = ServerInfo::read(folder).filter(|_| matches!(presence, Presence::InUse { .. }));
    let at = info.as_ref().and_then(|info| info.url.clone());
    if let (Some(wanted), Some(at)) = (&args.url, &at)
        && wanted != at
    {
        let text = format!("the server on {} listens at {at}, not at {wanted}", folder.display());
        return Err(CliError::refused(text).next(
            "longhaul install --client NAME --http --with-key --force names the address that holds now",
        ));
    }
    let Some(key) = info.and_then(|info| info.key) else {
        return Err(CliError::not_found(format_args!("no server on {} listens over HTTP", folder.display()))
            .next("longhaul serve, or name its --data folder"));
    };
    match (args.headers, context.output.json) {
        (true, _) => context.output.json(&json!({ "Authorization": format!("Bearer {key}") }))?,
        (false, true) => context.output.json(&json!({ "key": key }))?,
        (false, false) => context.output.line(key)?,
    }
    Ok(Exit::Done)
}
