//! Ports of running sandboxes: what commands said, and that what the files say is open.

use super::{Host, machines::state_failure};
use crate::{
    cli::{
        args::Publish,
        client::{self, Client, ClientError},
        failure::{Failure, Kind},
        ops::PortEdit,
    },
    model::{
        desired::Port,
        rule::{Layer, Origin},
        status::PublishedPort,
    },
    store::{PortSet, Record},
};

impl Host {
    /// Changes what commands said about a sandbox's ports, and gives those that are open then.
    pub(super) fn edit_ports(&self, record: &Record, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        if *edit == PortEdit::default() {
            return Ok(self.status_of(record)?.ports);
        }
        self.refuse_unpublished(record, &edit.withdraw)?;
        // One that got another port than it wished for is asked for anew: the wish may be free by now.
        let open = self.status_of(record)?.ports;
        let elsewhere = |wish: &&Publish| {
            open.iter().any(|port| port.guest == wish.guest && Some(port.host) != wish.host)
        };
        let moved: Vec<u16> = edit.publish.iter().filter(elsewhere).map(|wish| wish.guest).collect();
        if !moved.is_empty() {
            let withdrawn = |set: &mut PortSet| moved.iter().for_each(|guest| set.withdraw(*guest));
            self.store.edit_ports(&record.id, withdrawn).map_err(state_failure)?;
            self.open_ports(record)?;
        }
        let origin = Origin { layer: Layer::Session, file: None, line: None };
        let changed = self.store.edit_ports(&record.id, |set| {
            edit.withdraw.iter().for_each(|guest| set.withdraw(*guest));
            for wish in &edit.publish {
                set.publish(Port {
                    guest: wish.guest,
                    host: wish.host,
                    fixed: false,
                    origin: origin.clone(),
                });
            }
        });
        changed.map_err(state_failure)?;
        self.open_ports(record)
    }

    /// What is not published cannot be withdrawn: a wrong number is a slip.
    fn refuse_unpublished(&self, record: &Record, withdraw: &[u16]) -> Result<(), Failure> {
        let published = self.store.ports(&record.id).map_err(state_failure)?.over(&record.desired.ports);
        let unknown = |guest: &&u16| !published.iter().any(|port| port.guest == **guest);
        withdraw.iter().find(unknown).map_or(Ok(()), |guest| {
            let message = format!("sandbox {} publishes no port {guest}", record.name);
            let hint = format!("`cofferdam ports {}` shows them: SANDBOX is the number to name", record.name);
            Err(Failure::new(Kind::NotFound, "no_such_port", message).hint(hint))
        })
    }

    /// Has a running sandbox open the ports that its files say, and close the others; none of it where it does not run.
    pub(super) fn open_ports(&self, record: &Record) -> Result<Vec<PublishedPort>, Failure> {
        let client = Client::new(self.socket(&record.id)?);
        match client::block_on(async { Ok(client.reload_ports().await) })? {
            Ok(status) => Ok(status.ports),
            Err(ClientError::NotRunning) => Ok(Vec::new()),
            Err(error) => Err(Failure::from(error).hint("`cofferdam ports NAME` shows those that are open")),
        }
    }
}
