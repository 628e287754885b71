//! The entry `tls` of a listener and of a service. What the messages call `ca_file` is `ca` here, because everything in
//! it is a file.

use weir_proto::v1;

use crate::{
    document::{
        fields::{Context, Fields, Path, scalar},
        words::{CLIENT_CERTIFICATE_MODE, TLS_VERSION},
    },
    yaml::Node,
};

pub(super) fn listener_tls(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::ListenerTls> {
    let mut fields = Fields::of(context, node, path)?;
    let tls = v1::ListenerTls {
        certificates: fields.list("certificates", certificate),
        min_version: fields.word("min_version", &TLS_VERSION),
        client_certificate: fields.nested("client_certificate", client_certificate),
    };
    fields.finish();
    Some(tls)
}

pub(super) fn service_tls(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::ServiceTls> {
    let mut fields = Fields::of(context, node, path)?;
    fields.called("ca_file", "ca");
    fields.called("certificate_file", "certificate");
    fields.called("private_key_file", "private_key");
    let tls = v1::ServiceTls {
        ca_file: fields.text("ca"),
        server_name: fields.text("server_name"),
        subject_alt_names: fields.list("subject_alt_names", |context, node, path| {
            context.place(path, node.at);
            scalar(context, path, node).map(str::to_owned)
        }),
        certificate_file: fields.text("certificate"),
        private_key_file: fields.text("private_key"),
    };
    fields.finish();
    Some(tls)
}

fn certificate(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::CertificateFiles> {
    let mut fields = Fields::of(context, node, path)?;
    fields.called("certificate_file", "certificate");
    fields.called("private_key_file", "private_key");
    let files = v1::CertificateFiles {
        certificate_file: fields.required_text("certificate"),
        private_key_file: fields.required_text("private_key"),
    };
    fields.finish();
    Some(files)
}

fn client_certificate(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::ClientCertificate> {
    let mut fields = Fields::of(context, node, path)?;
    fields.called("ca_file", "ca");
    let client = v1::ClientCertificate {
        ca_file: fields.required_text("ca"),
        mode: fields.word("mode", &CLIENT_CERTIFICATE_MODE),
    };
    fields.finish();
    Some(client)
}
