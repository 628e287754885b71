//! What must be so when everything has arrived.

use std::collections::BTreeSet;

use tokio::time::{Duration, Instant, sleep};
use tonic::Request;
use weir_proto::v1::{self, admin_server::Admin};

use super::{asks::TTL, world::World};

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);
/// By then everything that was due is done, also what a full disk held up.
const AT_LEAST: Duration = Duration::from_secs(4);
/// Everybody agrees by then.
const AT_MOST: Duration = Duration::from_mins(2);
/// After its ttl a lease expires within a second; a look may come a little later.
const LATE: Duration = Duration::from_millis(1_100);

impl World {
    /// Everything is delivered, everybody connects, and nobody asks for more: then all have the same.
    pub(crate) async fn rest(&mut self) -> Result<(), String> {
        self.disk.destine(None);
        self.start().await?;
        self.arrive_all();
        let begin = Instant::now();
        loop {
            self.look().await?;
            for proxy in 0..self.proxies.len() {
                self.connect(proxy).await;
                self.flow(proxy).await;
            }
            sleep(STEP).await;
            self.look().await?;
            self.accept_what_is_kept_out().await?;
            let agreed = self.attempts.is_empty() && self.agreed().await?;
            if agreed && begin.elapsed() >= AT_LEAST {
                return self.same().await;
            }
            if begin.elapsed() > AT_MOST {
                let seen: Vec<_> = self.proxies.iter().map(|p| p.seen).collect();
                let open: Vec<_> = self.attempts.iter().map(|a| &a.call).collect();
                let disk = self.promises.position;
                return Err(format!(
                    "no agreement: the disk is at {disk:?}, proxies at {seen:?}, open: {open:?}"
                ));
            }
        }
    }

    /// A proxy may keep out what there is, or have another history. It is said, and the operator means what there is.
    async fn accept_what_is_kept_out(&mut self) -> Result<(), String> {
        let Some(plane) = &self.plane else { return Ok(()) };
        let fleet = plane.services().list_proxies(Request::new(v1::ListProxiesRequest::default())).await;
        let fleet = fleet.map_err(|e| e.to_string())?.into_inner();
        let kept_out = fleet.proxies.iter().filter_map(|proxy| proxy.kept_out.as_ref());
        if kept_out.into_iter().any(|kept| kept.epoch == fleet.epoch) {
            self.accept().await?;
        }
        Ok(())
    }

    /// Whether all are where the disk is, and the control plane knows it.
    async fn agreed(&self) -> Result<bool, String> {
        let Some(plane) = &self.plane else { return Ok(false) };
        let at = self.promises.position;
        if self.proxies.iter().any(|p| p.seen != Some(at)) {
            return Ok(false);
        }
        let fleet = plane.services().list_proxies(Request::new(v1::ListProxiesRequest::default())).await;
        let fleet = fleet.map_err(|e| e.to_string())?.into_inner().proxies;
        let knows = |id: &str| {
            let found = fleet.iter().find(|p| p.id == id);
            found.is_some_and(|p| {
                p.connected && (p.epoch, p.revision, p.digest) == (at.epoch, at.revision, at.digest)
            })
        };
        Ok(self.proxies.iter().all(|p| knows(&p.id)))
    }

    async fn same(&mut self) -> Result<(), String> {
        let Some(plane) = &self.plane else { return Err("the control plane is down".to_owned()) };
        let objects = |objects: Vec<v1::Object>| -> BTreeSet<_> {
            objects.into_iter().map(|o| (o.kind, o.name, o.body, o.level)).collect()
        };
        let state = plane.state();
        let wanted = objects(state.objects);
        let known = self.promises.known.iter().map(|((kind, name), k)| (*kind as i32, name, &k.body));
        if !known.eq(wanted.iter().map(|(kind, name, body, _)| (*kind, name, body))) {
            return Err(format!("the control plane has {wanted:?}, the disk {:?}", self.promises.known));
        }
        for proxy in &self.proxies {
            let view = proxy.process.view().await.ok_or("a proxy has nothing")?;
            let found = objects(view.objects);
            if found != wanted {
                return Err(format!("{} has {found:?}, the control plane {wanted:?}", proxy.id));
            }
            let routable = self.promises.routable();
            if view.routable != routable {
                return Err(format!(
                    "{} sends requests to {:?}, not to {routable:?}",
                    proxy.id, view.routable
                ));
            }
        }
        for name in self.promises.silent(TTL + LATE) {
            let object = Some(v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: name.clone() });
            let info = plane.services().get_object(Request::new(v1::GetObjectRequest { object })).await;
            let info = info.map_err(|e| e.to_string())?.into_inner();
            if info.overdue_since.is_none() {
                return Err(format!("the lease of {name} is over, and nothing holds it"));
            }
        }
        Ok(())
    }
}
