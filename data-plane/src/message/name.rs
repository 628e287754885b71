//! The names of fields that a proxy treats in a way of its own. All others are alike to it.

macro_rules! names {
    ($($name:ident = $text:literal;)*) => {
        /// A name that means something to us, or any other.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Name {
            $($name,)*
            /// A name that poses as one of those that frame a message, route it, or say whom it is from: many servers
            /// take `_` for `-`. Its text stands in the field.
            Alias,
            /// Any other: its text stands in the field.
            Other,
        }

        impl Name {
            /// In lower case; nothing for `Alias` and `Other`.
            pub(crate) fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Alias | Self::Other => "",
                }
            }

            /// Whatever the case of the letters.
            fn of_same_length(name: &[u8]) -> Self {
                $(if name.eq_ignore_ascii_case($text.as_bytes()) {
                    return Self::$name;
                })*
                Self::Other
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

names! {
    Allow = "allow";
    Authorization = "authorization";
    CacheControl = "cache-control";
    Connection = "connection";
    ContentEncoding = "content-encoding";
    ContentLength = "content-length";
    ContentRange = "content-range";
    ContentType = "content-type";
    Cookie = "cookie";
    Date = "date";
    Expect = "expect";
    Forwarded = "forwarded";
    GrpcMessage = "grpc-message";
    GrpcStatus = "grpc-status";
    GrpcTimeout = "grpc-timeout";
    Host = "host";
    Http2Settings = "http2-settings";
    KeepAlive = "keep-alive";
    MaxForwards = "max-forwards";
    ProxyConnection = "proxy-connection";
    ProxyStatus = "proxy-status";
    RetryAfter = "retry-after";
    SetCookie = "set-cookie";
    Te = "te";
    Trailer = "trailer";
    TransferEncoding = "transfer-encoding";
    Upgrade = "upgrade";
    Via = "via";
    XForwardedFor = "x-forwarded-for";
    XForwardedHost = "x-forwarded-host";
    XForwardedProto = "x-forwarded-proto";
    XRealIp = "x-real-ip";
}

/// Bytes of the longest name.
const LONGEST: usize = 17;

impl Name {
    /// What a field's name means, whatever the case of its letters.
    pub(crate) fn of(name: &[u8]) -> Self {
        // Nearly all names that mean nothing to us are told by their length and first letter.
        let Some(first) = name.first() else { return Self::Other };
        match (name.len(), first | 0x20) {
            (2..=6, b't' | b'v' | b'h' | b'a' | b'c' | b'd' | b'e')
            | (7, b't' | b'u')
            | (9, b'f' | b'x')
            | (10, b'c' | b'k' | b's')
            | (11, b'g' | b'r')
            | (12, b'c' | b'g' | b'm' | b'p')
            | (13, b'a' | b'c' | b'g')
            | (14, b'c' | b'h')
            | (15, b'x')
            | (16, b'c' | b'p' | b'x')
            | (17, b't' | b'x') => match Self::of_same_length(name) {
                Self::Other => Self::of_unknown(name),
                known => known,
            },
            _ => Self::Other,
        }
    }

    /// CGI makes `_` of every `-` (RFC 3875 section 4.1.18), and so do its heirs.
    #[cold]
    fn of_unknown(name: &[u8]) -> Self {
        if !name.contains(&b'_') {
            return Self::Other;
        }
        let mut dashed = [0; LONGEST];
        let Some(dashed) = dashed.get_mut(..name.len()) else { return Self::Other };
        for (to, from) in dashed.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        match Self::of_same_length(dashed) {
            Self::ContentLength
            | Self::Http2Settings
            | Self::KeepAlive
            | Self::MaxForwards
            | Self::ProxyConnection
            | Self::TransferEncoding
            | Self::XForwardedFor
            | Self::XForwardedHost
            | Self::XForwardedProto
            | Self::XRealIp => Self::Alias,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_by_its_text_in_any_case() {
        for name in Name::ALL {
            assert_eq!(Name::of(name.text().as_bytes()), *name);
            assert_eq!(Name::of(name.text().to_uppercase().as_bytes()), *name);
        }
    }

    #[test]
    fn an_underscore_for_a_dash_makes_an_alias_of_what_frames_routes_or_identifies() {
        for name in ["Content_Length", "transfer_encoding", "X_Forwarded_For", "x-forwarded_for", "X_REAL-IP"]
        {
            assert_eq!(Name::of(name.as_bytes()), Name::Alias, "{name}");
        }
        for name in Name::ALL {
            assert!(name.text().len() <= LONGEST, "{name:?}");
        }
    }

    #[test]
    fn any_other_is_other() {
        for name in [
            "",
            "x",
            "accept",
            "hosts",
            "hosu",
            "x-forwarded-fo",
            "content-lengt",
            "content_typ",
            "content_type",
            "_",
        ] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }
}
