//! What is read of a message must be within the bounds that `config.proto` names.

use std::{ops::RangeInclusive, time::Duration};

use crate::{Invalid, duration::from_wire};

/// A field as it is on the wire, which may be absent.
pub(crate) trait Bounded {
    /// What it says.
    type Value;

    /// Its value, or the default if it is absent; refused under the name `field`.
    fn bounded(
        self,
        field: &str,
        default: Self::Value,
        bounds: RangeInclusive<Self::Value>,
    ) -> Result<Self::Value, Invalid>;
}

/// `bounded!(wire.field, default, least..=most)`: the field's value; absent, what the field of the same name in
/// `default` has. So a refusal always names the field that was read.
macro_rules! bounded {
    ($wire:ident.$field:ident, $default:ident, $bounds:expr) => {
        $crate::bounds::Bounded::bounded($wire.$field, stringify!($field), $default.$field, $bounds)
    };
}

/// `nested!(wire.field)`: the message in a field, if there is one, as the type that it becomes.
macro_rules! nested {
    ($wire:ident.$field:ident) => {
        $wire.$field.map(|inner| $crate::bounds::within(stringify!($field), inner)).transpose()
    };
}
pub(crate) use {bounded, nested};

impl Bounded for Option<u32> {
    type Value = u32;

    fn bounded(self, field: &str, default: u32, bounds: RangeInclusive<u32>) -> Result<u32, Invalid> {
        number(field, self, default, *bounds.start(), *bounds.end())
    }
}

impl Bounded for Option<prost_types::Duration> {
    type Value = Duration;

    fn bounded(
        self,
        field: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Result<Duration, Invalid> {
        from_wire(field, self, default, *bounds.start(), *bounds.end())
    }
}

/// What the message in `field` becomes.
pub(crate) fn within<W, T: TryFrom<W, Error = Invalid>>(field: &str, wire: W) -> Result<T, Invalid> {
    T::try_from(wire).map_err(|e| e.within(field))
}

/// The number in `field`; an absent one has the default.
pub(crate) fn number(
    field: &str,
    wire: Option<u32>,
    default: u32,
    least: u32,
    most: u32,
) -> Result<u32, Invalid> {
    match wire {
        None => Ok(default),
        Some(n) if (least..=most).contains(&n) => Ok(n),
        Some(n) => Err(Invalid::new(field, format_args!("must be {least} to {most}, is {n}"))),
    }
}

/// The time in `field`, which has no default.
pub(crate) fn required(
    field: &str,
    wire: Option<prost_types::Duration>,
    bounds: RangeInclusive<Duration>,
) -> Result<Duration, Invalid> {
    if wire.is_none() {
        return Err(Invalid::new(field, "is missing"));
    }
    wire.bounded(field, Duration::ZERO, bounds)
}

/// A status of HTTP in `field`.
pub(crate) fn status(field: &str, wire: u32, bounds: RangeInclusive<u32>) -> Result<u16, Invalid> {
    let status = number(field, Some(wire), 0, *bounds.start(), *bounds.end())?;
    u16::try_from(status).map_err(|e| Invalid::new(field, e))
}

/// The list in `field`, each item read by `item`; at most `most` of them.
pub(crate) fn list<W, T>(
    field: &str,
    wire: impl IntoIterator<Item = W, IntoIter: ExactSizeIterator>,
    most: usize,
    mut item: impl FnMut(W) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let wire = wire.into_iter();
    let n = wire.len();
    if n > most {
        return Err(Invalid::new(field, format_args!("must be at most {most}, are {n}")));
    }
    let item = |(i, wire)| item(wire).map_err(|e| e.within(&format!("{field}[{i}]")));
    wire.enumerate().map(item).collect()
}

/// A text of at most so many bytes.
pub(crate) fn at_most(text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() > most {
        return Err(Invalid::new("", format_args!("must have at most {most} bytes, has {}", text.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field_that_was_read() {
        struct Both {
            weight: u32,
        }
        let default = Both { weight: 7 };
        let read = |weight| {
            struct Wire {
                weight: Option<u32>,
            }
            let wire = Wire { weight };
            bounded!(wire.weight, default, 1..=9)
        };
        assert_eq!((read(None), read(Some(9))), (Ok(7), Ok(9)));
        assert_eq!(read(Some(10)), Err(Invalid::new("weight", "must be 1 to 9, is 10")));
    }

    #[test]
    fn a_list_ends_at_its_bound_and_names_the_item_at_fault() {
        let read = |items: Vec<u32>| list("codes", items, 2, |n| status("", n, 400..=599));
        assert_eq!(read(vec![400, 599]), Ok(vec![400, 599]));
        assert_eq!(read(vec![400, 600]), Err(Invalid::new("codes[1]", "must be 400 to 599, is 600")));
        assert_eq!(read(vec![400; 3]), Err(Invalid::new("codes", "must be at most 2, are 3")));
    }
}
