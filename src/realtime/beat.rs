//! Pings, and how long their answers may take.

use std::time::Duration;

use tokio::time::Instant;

use super::protocol::{Close, PING};

/// How long a client has to answer a ping.
const PONG_PATIENCE: Duration = Duration::from_secs(10);

/// When the next ping is due, or until when one is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beat {
    PingAt(Instant),
    PongUntil(Instant),
}

impl Beat {
    /// A ping is due in a while: it begins, or was answered.
    pub fn after(now: Instant) -> Self {
        Self::PingAt(now + Duration::from_secs(PING))
    }

    /// When something is due.
    pub fn due(self) -> Instant {
        match self {
            Self::PingAt(at) | Self::PongUntil(at) => at,
        }
    }

    /// Tells whether a ping is to be sent now, whose answer is waited for from then on.
    ///
    /// # Errors
    /// One was not answered.
    pub fn pings(&mut self, now: Instant) -> Result<bool, Close> {
        match *self {
            Self::PingAt(at) if at <= now => {
                *self = Self::PongUntil(now + PONG_PATIENCE);
                Ok(true)
            }
            Self::PongUntil(at) if at <= now => Err(Close::NO_PONG),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_08_who_answers_no_ping_is_dropped_within_a_minute() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut beat = Beat::after(begun);
        assert_eq!(beat.due(), at(25_000));
        assert_eq!(beat.pings(at(24_999)), Ok(false));
        assert_eq!(beat.pings(at(25_000)), Ok(true));
        assert_eq!(beat.due(), at(35_000));
        // One ping, and not more until there is an answer.
        assert_eq!(beat.pings(at(34_999)), Ok(false));
        let silent = &mut beat.clone();
        assert_eq!(silent.pings(at(35_000)).unwrap_err().code, 3012);
        // An answer just in time.
        beat = Beat::after(at(34_999));
        assert_eq!(beat.pings(at(35_000)), Ok(false));
        assert_eq!(beat.due(), at(59_999));
        assert_eq!(beat.pings(at(60_000)), Ok(true));
    }
}
