//! Trouble on purpose: what a service's settings ask for.

use http::StatusCode;
use tokio::time::Duration;
use weir_proto::FaultInjection;

/// How long this request waits before it goes on, if it does.
pub(super) fn delay(settings: &FaultInjection) -> Option<Duration> {
    settings.delay.filter(|(percent, _)| drawn(*percent)).map(|(_, delay)| delay)
}

/// How this request is answered in place of being sent, if it is.
pub(super) fn abort(settings: &FaultInjection) -> Option<StatusCode> {
    let (_, status) = settings.abort.filter(|(percent, _)| drawn(*percent))?;
    StatusCode::from_u16(status).ok()
}

fn drawn(percent: u32) -> bool {
    fastrand::u32(..100) < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none_is_what_the_settings_say() {
        let second = Duration::from_secs(1);
        let always = FaultInjection { delay: Some((100, second)), abort: Some((100, 418)) };
        let never = FaultInjection { delay: Some((0, second)), abort: Some((0, 418)) };
        for _ in 0..100 {
            assert_eq!((delay(&always), abort(&always)), (Some(second), Some(StatusCode::IM_A_TEAPOT)));
            assert_eq!((delay(&never), abort(&never)), (None, None));
        }
    }
}
