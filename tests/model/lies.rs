//! Messages that no control plane should send: each leads from what a proxy has to what never was.

use bytes::Bytes;
use prost::Message;
use weir_proto::{
    Digest, ObjectKey, ObjectKind,
    v1::{self, control_message::Message as Down},
};

use super::{ops::Lie, proxy::Proxy};

impl Proxy {
    /// Hears a lie that fits what it has now, if there is one.
    pub(crate) async fn hear(&mut self, lie: Lie) {
        let Some(view) = self.process.view().await else { return };
        let have = view.position;
        let backends = view.objects.iter().filter(|o| o.kind == ObjectKind::Backend as i32).count();
        let alone = Digest::default().with(&key(), &body());
        let beside = Digest(have.digest).with(&key(), &body());
        let at = |revision, digest: Digest| v1::Position { epoch: have.epoch, revision, digest: digest.0 };
        let message = match lie {
            Lie::SameRevision => page(at(have.revision, alone)),
            Lie::SameRevisionByDelta => delta(have, at(have.revision, beside), have.digest),
            Lie::OtherDigest => delta(have, at(have.revision + 1, beside), have.digest ^ 2),
            // One that has few takes it: it cannot know better.
            Lie::Shrinks if backends < 2 => return,
            Lie::Shrinks => page(at(have.revision + 1, alone)),
            Lie::Older if have.revision == 0 => return,
            Lie::Older => page(at(have.revision - 1, alone)),
        };
        self.line.iter_mut().for_each(|line| line.slip_in(message.clone()));
    }
}

fn key() -> ObjectKey {
    ObjectKey::new(ObjectKind::Service, "lie")
}

fn body() -> Bytes {
    v1::Service { name: "lie".to_owned(), ..Default::default() }.encode_to_vec().into()
}

fn object() -> v1::Object {
    v1::Object { kind: ObjectKind::Service as i32, name: "lie".to_owned(), body: body(), level: 0 }
}

fn page(position: v1::Position) -> Down {
    let body = v1::SnapshotBody { objects: vec![object()] }.encode_to_vec().into();
    Down::SnapshotPage(v1::SnapshotPage {
        position: Some(position),
        last: true,
        total_objects: 1,
        body,
        ..Default::default()
    })
}

fn delta(from: v1::Position, to: v1::Position, from_digest: u64) -> Down {
    let body = v1::DeltaBody { upserted: vec![object()], removed: Vec::new() }.encode_to_vec().into();
    Down::Delta(v1::Delta { from_revision: from.revision, to: Some(to), body, from_digest })
}
