//! How long to wait before the stream is asked for again, as X's documentation has it.

use std::time::Duration;

/// A network fault is tried again at once, then after one step more each time.
const STEP: Duration = Duration::from_millis(250);
const LAST_STEP: Duration = Duration::from_secs(16);
/// A refusal is tried again after this, and after twice as long each time.
const REFUSED: Duration = Duration::from_secs(5);
const LAST_REFUSED: Duration = Duration::from_secs(320);
/// The same if X says that it was asked too often; its window is a quarter of an hour.
const LIMITED: Duration = Duration::from_secs(60);
const LAST_LIMITED: Duration = Duration::from_secs(900);
/// X names no later time than the end of a day's limit: a later one is no answer to go by.
const LATEST: Duration = Duration::from_secs(24 * 3600);

/// Why there is no stream, as far as the next attempt depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network, a connection that ended or fell silent
    Lost,
    /// An answer that may be another one later
    Refused,
    /// Asked too often, and how long that holds if X says so
    Limited(Option<Duration>),
    /// An answer that stays the same until somebody changes a setting
    Settings,
}

/// What failed since the last time that a connection held.
#[derive(Debug)]
pub struct BackOff {
    lost: u32,
    refused: u32,
    limited: u32,
    factor: f64,
}

impl BackOff {
    /// `factor` shortens all that X does not say itself, for tests.
    pub fn new(factor: f64) -> BackOff {
        BackOff { lost: 0, refused: 0, limited: 0, factor }
    }

    /// A connection held: whatever comes next is a first time.
    pub fn held(&mut self) {
        *self = BackOff::new(self.factor);
    }

    /// How long to wait after this.
    pub fn after(&mut self, fault: Fault) -> Duration {
        let doubled = |first: Duration, times: u32, last: Duration| {
            first.checked_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).unwrap_or(last).min(last)
        };
        let wait = match fault {
            Fault::Limited(Some(until)) if until <= LATEST => return until,
            Fault::Lost => {
                self.lost = self.lost.saturating_add(1);
                STEP.saturating_mul(self.lost - 1).min(LAST_STEP)
            }
            Fault::Refused => {
                self.refused = self.refused.saturating_add(1);
                doubled(REFUSED, self.refused - 1, LAST_REFUSED)
            }
            Fault::Limited(_) => {
                self.limited = self.limited.saturating_add(1);
                doubled(LIMITED, self.limited - 1, LAST_LIMITED)
            }
            Fault::Settings => LAST_REFUSED,
        };
        wait.mul_f64(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(back_off: &mut BackOff, fault: Fault, times: usize) -> Vec<f64> {
        (0..times).map(|_| back_off.after(fault).as_secs_f64()).collect()
    }

    #[test]
    fn network_faults_are_waited_for_in_steps() {
        let mut back_off = BackOff::new(1.0);
        assert_eq!(seconds(&mut back_off, Fault::Lost, 4), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(seconds(&mut back_off, Fault::Lost, 100)[99], 16.0);
        back_off.held();
        assert_eq!(seconds(&mut back_off, Fault::Lost, 1), [0.0]);
    }

    #[test]
    fn refusals_double_the_wait() {
        let mut back_off = BackOff::new(1.0);
        let waits = seconds(&mut back_off, Fault::Refused, 40);
        assert_eq!(waits[..8], [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0]);
        assert_eq!(waits[39], 320.0);
        // One sort of fault says nothing of another.
        assert_eq!(seconds(&mut back_off, Fault::Lost, 2), [0.0, 0.25]);
        assert_eq!(seconds(&mut back_off, Fault::Settings, 2), [320.0, 320.0]);
    }

    #[test]
    fn a_rate_limit_is_waited_for_as_long_as_it_says() {
        let mut back_off = BackOff::new(0.5);
        let said = Fault::Limited(Some(Duration::from_secs(700)));
        assert_eq!(seconds(&mut back_off, said, 2), [700.0, 700.0]);
        assert_eq!(seconds(&mut back_off, Fault::Limited(None), 6), [30.0, 60.0, 120.0, 240.0, 450.0, 450.0]);
        let never = Fault::Limited(Some(Duration::from_secs(1 << 40)));
        assert_eq!(seconds(&mut back_off, never, 1), [450.0]);
    }
}
