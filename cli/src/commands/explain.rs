//! `weir explain`: what a proxy would do with a request now, and why.

use std::net::IpAddr;

use clap::Args;
use hyper::Uri;
use weir_proto::v1;

use crate::{
    Error, Exit,
    commands::Global,
    output::{explanation, explanation_value},
};

/// Methods that are often typed in lower case.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// A request, and whom to ask.
#[derive(Debug, Args)]
#[command(after_help = "\
The proxy goes the way of a request with it, but for sending it: nothing is counted, and no backend loses its turn.

Examples:
  weir explain GET shop.example/cart
  weir explain POST https://shop.example/orders -H 'x-user: 7' --from 10.1.2.3 --proxy edge-1")]
pub(super) struct Explain {
    /// As GET
    #[arg(value_parser = method)]
    method: String,
    /// As `shop.example/cart?id=7`, with http:// or https:// or without
    #[arg(value_name = "URL", value_parser = target)]
    url: Target,
    /// Which proxy to ask [default: the first by name that is connected]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    proxy: String,
    /// A field of the request; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<v1::ExplainField>,
    /// The address of the client [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
}

/// The two parts of a URL that a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    host: String,
    target: String,
}

pub(super) async fn run(global: &Global, explain: Explain) -> Result<Exit, Error> {
    let Explain { method, url, proxy, header, from } = explain;
    let client = global.connect().await?;
    let request = format!("{method} {}{}", url.host, url.target);
    let question = v1::ExplainQuestion {
        method,
        host: url.host,
        target: url.target,
        fields: header,
        client_address: from.map_or_else(String::new, |address| address.to_string()),
    };
    let mut admin = client.admin();
    let ask = v1::ExplainRequest { proxy_id: proxy, question: Some(question) };
    let answer = client.call(admin.explain(ask)).await?;
    let explained = answer.explanation.unwrap_or_default();
    let value = explanation_value(&request, &answer.proxy_id, &explained);
    let output = global.output();
    output.show(&value, || explanation(&request, &answer.proxy_id, &explained, output.is_colored()))?;
    Ok(Exit::Ok)
}

fn method(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match text {
        _ if METHODS.contains(&upper.as_str()) => Ok(upper),
        "" => Err("must be a method as GET".to_owned()),
        _ if text.chars().all(is_token) => Ok(text.to_owned()),
        _ => Err(format!("must be a method as GET, not {text:?}; the URL comes after it")),
    }
}

fn target(text: &str) -> Result<Target, String> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) => rest,
        // A colon and slashes may stand in a query.
        Some((scheme, _)) if scheme.contains(['/', '?', '#']) => text,
        Some((scheme, _)) => return Err(format!("the scheme must be http or https, not {scheme:?}")),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    self::host(host)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if Uri::try_from(&path).is_err() {
        return Err(format!("the path {path:?} has a character that must be percent-encoded"));
    }
    Ok(Target { host: host.to_owned(), target: path })
}

fn host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing; write it as shop.example/cart".to_owned());
    }
    if let Some((_, host)) = host.rsplit_once('@') {
        return Err(format!("the host {host:?} must have no user name before it"));
    }
    let name = match host.rsplit_once(':') {
        // The colon of an address in brackets is none of a port.
        Some((_, port)) if port.ends_with(']') => host,
        Some((_, port)) if port.parse::<u16>().is_err() => {
            return Err(format!("the port {port:?} must be a number from 0 to 65535"));
        }
        Some((name, _)) => name,
        None => host,
    };
    // The brackets of an IPv6 address are a part of it.
    let valid = !name.is_empty() && Uri::try_from(format!("http://{name}/")).is_ok();
    valid.then_some(()).ok_or_else(|| format!("the host {name:?} is not a host name or address"))
}

fn field(text: &str) -> Result<v1::ExplainField, String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("must be NAME: VALUE, not {text:?}"))?;
    Ok(v1::ExplainField { name: name.trim().to_ascii_lowercase(), value: value.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String) {
        let Target { host, target } = target(text).expect("a URL");
        (host, target)
    }

    #[test]
    fn urls_are_taken_as_people_write_them() {
        for (text, host, target) in [
            ("shop.example", "shop.example", "/"),
            ("shop.example/cart?id=7", "shop.example", "/cart?id=7"),
            ("HTTPS://shop.example:8443/cart#top", "shop.example:8443", "/cart"),
            ("http://[::1]:8080?x", "[::1]:8080", "/?x"),
            ("[::1]/a", "[::1]", "/a"),
            ("10.0.0.7:80", "10.0.0.7:80", "/"),
            ("shop.example/go?to=ftp://x", "shop.example", "/go?to=ftp://x"),
        ] {
            assert_eq!(parts(text), (host.to_owned(), target.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_bad_url_is_told_which_part_is_bad() {
        for (text, says) in [
            ("ftp://shop.example/", "the scheme must be http or https, not \"ftp\""),
            ("http:///cart", "the host is missing"),
            ("/cart", "the host is missing"),
            ("shop.example:http/cart", "the port \"http\" must be"),
            ("shop.example:99999", "the port \"99999\" must be"),
            ("me@shop.example/", "must have no user name"),
            ("shop example/", "the host \"shop example\" is not"),
            (":80/", "the host \"\" is not"),
            ("shop.example/a b", "the path \"/a b\" has a character"),
        ] {
            let error = target(text).expect_err(text);
            assert!(error.starts_with(says) || error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn methods_and_fields_are_checked() {
        assert_eq!((method("get").as_deref(), method("PURGE").as_deref()), (Ok("GET"), Ok("PURGE")));
        assert!(method("shop.example/cart").is_err_and(|e| e.contains("the URL comes after it")));
        let user = v1::ExplainField { name: "x-user".into(), value: "7: a".into() };
        assert_eq!(field("X-User:  7: a"), Ok(user));
        assert!(field("x-user").is_err());
    }
}
