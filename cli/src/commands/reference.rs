//! How an object is named on the command line: `service/web`.

use weir_proto::{ObjectKind, v1};

/// `KIND/NAME`; a backend's name is `SERVICE/ID`. `KIND NAME`, as it is printed, will do.
pub(super) fn parse(text: &str) -> Result<v1::ObjectRef, String> {
    let wrong = || format!("must be KIND/NAME, as service/web or backend/web/10.0.0.7:8080, not {text:?}");
    let (kind, name) = text.split_once(['/', ' ']).ok_or_else(wrong)?;
    let kind = self::kind(kind).map_err(|_| wrong())?;
    if name.is_empty() {
        Err(wrong())
    } else {
        Ok(v1::ObjectRef { kind: kind.wire() as i32, name: name.to_owned() })
    }
}

/// One kind or all of it: `service`, `services`.
pub(super) fn kind(text: &str) -> Result<ObjectKind, String> {
    let known = ObjectKind::ALL.into_iter().find(|k| k.as_str() == text.strip_suffix('s').unwrap_or(text));
    known.ok_or_else(|| format!("must be listener, service, backend or route, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_it_is_printed() {
        let parsed = |text| parse(text).map(|o| (o.kind(), o.name));
        let web = Ok((v1::ObjectKind::Service, "web".to_owned()));
        assert_eq!(parsed("service/web"), web);
        assert_eq!(parsed("service web"), web);
        assert_eq!(
            parsed("backend/web/10.0.0.7:8080"),
            Ok((v1::ObjectKind::Backend, "web/10.0.0.7:8080".to_owned()))
        );
        assert_eq!(parsed("route/shop.example/cart").map(|r| r.1), Ok("shop.example/cart".to_owned()));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in ["web", "service/", "pod/web", ""] {
            assert!(parse(bad).expect_err(bad).starts_with("must be KIND/NAME"), "{bad}");
        }
    }
}
