//! When to try another backend: `RetryPolicy` in `config.proto`.

use std::time::Duration;

use crate::{
    Invalid,
    bounds::{bounded, list, status},
    v1,
};

/// The most statuses of a policy's own.
const MAX_STATUS_CODES: usize = 64;
/// The most reasons that are read, however often they are repeated.
const MAX_REASONS: usize = 64;

/// When to try another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub num_retries: u32,
    /// What is worth one; never empty.
    pub retry_on: Vec<RetryOn>,
    /// For [`RetryOn::RetriableStatusCodes`].
    pub retriable_status_codes: Vec<u16>,
    /// The most that is waited before the first retry.
    pub base_interval: Duration,
    /// The most that is waited before any.
    pub max_interval: Duration,
    /// Percent of the requests of the last 10 s.
    pub budget_percent: u32,
    /// Whatever the percentage comes to.
    pub min_retries_per_second: u32,
    /// Whether methods that are not idempotent count as if they were.
    pub retry_non_idempotent: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            num_retries: 1,
            retry_on: RetryOn::DEFAULT.to_vec(),
            retriable_status_codes: Vec::new(),
            base_interval: Duration::from_millis(25),
            max_interval: Duration::from_millis(250),
            budget_percent: 20,
            min_retries_per_second: 10,
            retry_non_idempotent: false,
        }
    }
}

/// A reason to try another backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// No connection.
    ConnectFailure,
    /// The backend said that it did not look at the request.
    RefusedStream,
    /// The connection ended before the response began.
    ResetBeforeResponse,
    /// 502, 503, 504, or nothing that is valid.
    GatewayError,
    /// Any 5xx.
    ServerError,
    /// 409.
    Retriable4xx,
    /// One of the policy's own list.
    RetriableStatusCodes,
    /// The time for one attempt ran out.
    PerTryTimeout,
    /// A call that ended with nothing but this `grpc-status`.
    Grpc(u8),
}

impl RetryOn {
    /// What is worth a retry by default.
    pub const DEFAULT: [Self; 4] =
        [Self::ConnectFailure, Self::RefusedStream, Self::ResetBeforeResponse, Self::PerTryTimeout];
}

impl TryFrom<v1::RetryPolicy> for RetryPolicy {
    type Error = Invalid;

    fn try_from(wire: v1::RetryPolicy) -> Result<Self, Invalid> {
        const MILLISECOND: Duration = Duration::from_millis(1);
        let mut d = Self::default();
        d.base_interval = bounded!(wire.base_interval, d, MILLISECOND..=Duration::from_mins(1))?;
        d.max_interval = d.max_interval.max(d.base_interval);
        let mut retry_on = Vec::new();
        for on in list("retry_on", wire.retry_on, MAX_REASONS, RetryOn::try_from)? {
            if !retry_on.contains(&on) {
                retry_on.push(on);
            }
        }
        if retry_on.is_empty() {
            retry_on.extend(RetryOn::DEFAULT);
        }
        Ok(Self {
            num_retries: bounded!(wire.num_retries, d, 0..=10)?,
            retry_on,
            retriable_status_codes: list(
                "retriable_status_codes",
                wire.retriable_status_codes,
                MAX_STATUS_CODES,
                |code| status("", code, 400..=599),
            )?,
            base_interval: d.base_interval,
            max_interval: bounded!(wire.max_interval, d, d.base_interval..=Duration::from_mins(10))?,
            budget_percent: bounded!(wire.budget_percent, d, 0..=100)?,
            min_retries_per_second: bounded!(wire.min_retries_per_second, d, 0..=1_000_000)?,
            retry_non_idempotent: wire.retry_non_idempotent,
        })
    }
}

impl TryFrom<i32> for RetryOn {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        use v1::RetryOn as Wire;
        Ok(match Wire::try_from(wire) {
            Ok(Wire::ConnectFailure) => Self::ConnectFailure,
            Ok(Wire::RefusedStream) => Self::RefusedStream,
            Ok(Wire::ResetBeforeResponse) => Self::ResetBeforeResponse,
            Ok(Wire::GatewayError) => Self::GatewayError,
            Ok(Wire::RetryOn5xx) => Self::ServerError,
            Ok(Wire::Retriable4xx) => Self::Retriable4xx,
            Ok(Wire::RetriableStatusCodes) => Self::RetriableStatusCodes,
            Ok(Wire::PerTryTimeout) => Self::PerTryTimeout,
            // The numbers of gRPC's own statuses.
            Ok(Wire::GrpcCancelled) => Self::Grpc(1),
            Ok(Wire::GrpcDeadlineExceeded) => Self::Grpc(4),
            Ok(Wire::GrpcResourceExhausted) => Self::Grpc(8),
            Ok(Wire::GrpcInternal) => Self::Grpc(13),
            Ok(Wire::GrpcUnavailable) => Self::Grpc(14),
            Ok(Wire::Unspecified) | Err(_) => {
                return Err(Invalid::new(
                    "",
                    format_args!("names no reason that this version knows: {wire}"),
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;

    #[test]
    fn an_empty_list_is_the_default_and_a_repeated_reason_counts_once() {
        let on = |retry_on: Vec<i32>| {
            RetryPolicy::try_from(v1::RetryPolicy { retry_on, ..Default::default() })
                .map(|policy| policy.retry_on)
                .map_err(|e| e.to_string())
        };
        assert_eq!(on(vec![]), Ok(RetryOn::DEFAULT.to_vec()));
        assert_eq!(on(vec![13, 5, 13]), Ok(vec![RetryOn::Grpc(14), RetryOn::ServerError]));
        let refused =
            |i: usize, n: i32| Err(format!("retry_on[{i}]: names no reason that this version knows: {n}"));
        assert_eq!((on(vec![1, 99]), on(vec![0])), (refused(1, 99), refused(0, 0)));
    }

    #[test]
    fn the_longest_pause_is_no_shorter_than_the_first() {
        let pauses = |base: u64, max: Option<u64>| {
            let time = |millis| duration_to_wire(Duration::from_millis(millis));
            let wire = v1::RetryPolicy {
                base_interval: Some(time(base)),
                max_interval: max.map(time),
                ..Default::default()
            };
            RetryPolicy::try_from(wire).map(|p| p.max_interval.as_millis()).map_err(|e| e.to_string())
        };
        assert_eq!(
            (pauses(25, None), pauses(400, None), pauses(400, Some(400))),
            (Ok(250), Ok(400), Ok(400))
        );
        assert_eq!(pauses(25, Some(24)), Err("max_interval: must be 25ms to 600s, is 24ms".to_owned()));
    }

    #[test]
    fn statuses_to_retry_are_failures() {
        let codes = |retriable_status_codes: Vec<u32>| {
            RetryPolicy::try_from(v1::RetryPolicy { retriable_status_codes, ..Default::default() })
                .map(|policy| policy.retriable_status_codes)
                .map_err(|e| e.to_string())
        };
        assert_eq!(codes(vec![400, 599]), Ok(vec![400, 599]));
        let refused = Err("retriable_status_codes[1]: must be 400 to 599, is 399".to_owned());
        assert_eq!(codes(vec![400, 399]), refused);
        assert_eq!(
            codes(vec![503; 65]),
            Err("retriable_status_codes: must be at most 64, are 65".to_owned())
        );
    }
}
