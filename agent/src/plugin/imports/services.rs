use super::Host;
use super::contract::services::Host as Services;
use super::contract::types::Attribute;
use crate::plugin::contract::attributes;
use crate::signal::collector::service;

impl Services for Host {
    fn show(&mut self, name: String) -> wasmtime::Result<Result<Vec<Attribute>, String>> {
        Ok(match self.interfaces.services.get(&name) {
            Some(status) => Ok(attributes(service::attributes(&status))),
            None => Err(format!("no policy watches the service `{name}`")),
        })
    }

    fn dependencies(&mut self, name: String) -> wasmtime::Result<Vec<String>> {
        // What systemd said when it was asked last: nobody waits for D-Bus here.
        let needs = self.interfaces.needs.clone();
        self.timed(|_, _| Ok(needs.map_or_else(Vec::new, |needs| needs.requires(&name).into_iter().collect())))
    }
}
