//! What the appliance does by itself, and when: asking the depot, telling people by mail, fetching, beginning an upgrade.
//!
//! Decides and does nothing: [`crate::serve`] looks, asks here what there is to do, and does it as a job like any other. One thing at a
//! time, nothing while a job is at work, and everything can be missed: what is due is derived from what is on the disk.

use std::collections::VecDeque;

use formats::calendar::Rhythm;
use formats::depot::Auto;

/// What can be seen of the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The machine's clock, seconds since 1970.
    pub now: i64,
    /// When the machine was started, by the same clock.
    pub started: i64,
    /// The appliance's name among all.
    pub appliance: String,
    /// There is a depot to ask.
    pub depot: bool,
    /// Hours between two checks.
    pub hours: u32,
    /// What it may do by itself.
    pub auto: Auto,
    /// Somebody gets mail.
    pub mail: bool,
    /// When the last mail failed; nothing when it did not.
    pub mail_failed: Option<i64>,
    /// The last check: when, and whether it failed.
    pub asked: Option<(i64, bool)>,
    /// No job is at work.
    pub idle: bool,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Ask the depot.
    Check,
    /// Write to those who get mail, if there is something they were not told.
    Tell,
    /// Fetch what is next.
    Stage,
    /// Begin an upgrade, if there is one to begin and this is the time for it.
    Upgrade,
}

/// What was begun. Nothing of it has to outlive the program.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// When a check was begun here last. One that could not even be remembered must not be begun again and again.
    begun: Option<i64>,
    /// When a mail was begun here last.
    told: Option<i64>,
    /// When it was last looked whether an upgrade is to be begun.
    looked: Option<i64>,
    /// The check whose consequences were drawn.
    followed: Option<i64>,
    /// Consequences that are left.
    left: VecDeque<Task>,
}

impl Calendar {
    /// What to do now. Whoever asks does it; when it cannot be begun, it is due again another time.
    pub fn next(&mut self, seen: &Seen) -> Option<Task> {
        if !seen.idle || !seen.depot {
            return None;
        }
        if self.check_is_due(seen) {
            self.begun = Some(seen.now);
            return Some(Task::Check);
        }
        match seen.asked {
            Some((time, false)) if self.followed != Some(time) => {
                self.followed = Some(time);
                self.left = consequences(seen).collect();
            }
            _ => {}
        }
        if self.left.is_empty() && self.mail_is_due_again(seen) {
            self.left.push_back(Task::Tell);
        }
        if self.left.is_empty() && self.upgrade_is_due(seen) {
            self.left.push_back(Task::Upgrade);
        }
        let task = self.left.pop_front()?;
        match task {
            Task::Tell => self.told = Some(seen.now),
            Task::Upgrade => self.looked = Some(seen.now),
            Task::Check | Task::Stage => {}
        }
        Some(task)
    }

    /// Makes a task due again that could not be begun.
    pub fn again(&mut self, task: Task) {
        match task {
            Task::Check => self.begun = None,
            task => self.left.push_front(task),
        }
    }

    fn check_is_due(&self, seen: &Seen) -> bool {
        if seen.auto == Auto::No {
            return false;
        }
        let rhythm = Rhythm { appliance: &seen.appliance, hours: seen.hours };
        // A check of the future is one of a wrong clock; one that was begun and left no trace failed.
        let begun = self.begun.map(|time| (time, true));
        let last = seen
            .asked
            .into_iter()
            .chain(begun)
            .filter(|(time, _)| *time <= seen.now)
            .max_by_key(|(time, failed)| (*time, !failed));
        let regular = rhythm.next(last.map(|(time, _)| time), seen.started);
        let again = last.filter(|(_, failed)| *failed).and_then(|(time, _)| rhythm.again(time));
        regular.into_iter().chain(again.filter(|_| regular.is_some())).min().is_some_and(|due| due <= seen.now)
    }

    /// Whether there is one follows from more than a look can see, and so does whether the maintenance window is open; what came of the
    /// last look may be over at any time. So it is looked at again and again, as far as the depot's last answer is good.
    fn upgrade_is_due(&self, seen: &Seen) -> bool {
        let last = self.looked.filter(|time| *time <= seen.now);
        let answered = seen.asked.is_some_and(|(_, failed)| !failed);
        seen.auto == Auto::Install && answered && last.is_none_or(|last| seen.now.saturating_sub(last) >= UPGRADE_AGAIN)
    }

    fn mail_is_due_again(&self, seen: &Seen) -> bool {
        let failed = seen.mail_failed.filter(|_| seen.mail);
        let last = failed.into_iter().chain(self.told).filter(|time| *time <= seen.now).max();
        failed.is_some() && last.is_none_or(|last| seen.now.saturating_sub(last) >= MAIL_AGAIN)
    }
}

/// What follows from a check that went well.
fn consequences(seen: &Seen) -> impl Iterator<Item = Task> {
    let own = match seen.auto {
        Auto::No | Auto::Check => None,
        // Fetched before the maintenance window opens, what is next takes less of it.
        Auto::Stage | Auto::Install => Some(Task::Stage),
    };
    // People first: fetching may take hours.
    seen.mail.then_some(Task::Tell).into_iter().chain(own)
}

/// Seconds until a mail that failed is tried again.
const MAIL_AGAIN: i64 = 3600;
/// Seconds between two looks whether an upgrade is to be begun: of an opening so much may pass unused.
const UPGRADE_AGAIN: i64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_392_000;
    const DAY: i64 = 86_400;

    fn seen() -> Seen {
        Seen {
            now: NOW,
            started: NOW - 30 * DAY,
            appliance: "0123456789abcdef0123456789abcdef".into(),
            depot: true,
            hours: 24,
            auto: Auto::Check,
            mail: false,
            mail_failed: None,
            asked: Some((NOW - 60, false)),
            idle: true,
        }
    }

    /// One look each minute; checks take a minute and succeed unless told otherwise. What was begun when.
    fn days(count: i64, mut seen: Seen, fails: impl Fn(i64) -> bool) -> Vec<(i64, Task)> {
        let (mut calendar, mut done, start) = (Calendar::default(), Vec::new(), seen.now);
        while seen.now < start + count * DAY {
            if let Some(task) = calendar.next(&seen) {
                done.push((seen.now - start, task));
                if task == Task::Check {
                    seen.asked = Some((seen.now, fails(seen.now - start)));
                }
            }
            seen.now += 60;
        }
        done
    }

    #[test]
    fn the_depot_is_asked_once_in_each_period_and_always_at_the_same_time() {
        let done = days(10, seen(), |_| false);
        assert_eq!(done.len(), 10, "{done:?}");
        assert!(done.windows(2).all(|two| (two[1].0 - two[0].0 - DAY).abs() <= 60), "{done:?}");
    }

    #[test]
    fn after_a_start_it_waits_and_then_asks_if_it_missed_its_turn() {
        let started = Seen { started: NOW, asked: Some((NOW - 3 * DAY, false)), ..seen() };
        let (first, task) = days(1, started.clone(), |_| false)[0];
        assert_eq!(task, Task::Check);
        assert!((120..=120 + 3600 + 60).contains(&first), "{first}");
        let never = days(1, Seen { asked: None, ..started }, |_| false);
        assert!((120..=120 + 3600 + 60).contains(&never[0].0), "{never:?}");
    }

    #[test]
    fn a_check_that_fails_is_tried_again_every_two_hours_and_not_more_often() {
        let done = days(2, seen(), |_| true);
        assert!((13..=25).contains(&done.len()), "{} {done:?}", done.len());
        assert!(done.windows(2).all(|two| two[1].0 - two[0].0 >= 600), "{done:?}");
    }

    #[test]
    fn a_check_that_leaves_no_trace_is_not_begun_again_and_again() {
        let (mut calendar, mut seen, mut count) = (Calendar::default(), Seen { asked: None, ..seen() }, 0);
        for _ in 0..DAY / 60 {
            count += i32::from(calendar.next(&seen).is_some());
            seen.now += 60;
        }
        assert!((10..=14).contains(&count), "{count}");
    }

    #[test]
    fn nothing_is_begun_while_a_job_is_at_work_or_when_nothing_is_to_be_done_by_itself() {
        let missed = Seen { asked: Some((NOW - 3 * DAY, false)), ..seen() };
        assert_eq!(Calendar::default().next(&missed), Some(Task::Check));
        for quiet in [
            Seen { idle: false, ..missed.clone() },
            Seen { depot: false, ..missed.clone() },
            Seen { auto: Auto::No, ..missed.clone() },
            Seen { hours: 0, ..missed.clone() },
        ] {
            assert_eq!(Calendar::default().next(&quiet), None, "{quiet:?}");
        }
        let failed = Seen { hours: 0, asked: Some((NOW - DAY, true)), ..missed };
        assert_eq!(Calendar::default().next(&failed), None, "never by itself is never again");
    }

    #[test]
    fn people_are_told_before_anything_is_fetched_and_each_check_has_its_consequences_once() {
        let mut calendar = Calendar::default();
        let seen = Seen { mail: true, auto: Auto::Stage, ..seen() };
        let tasks = [calendar.next(&seen), calendar.next(&seen), calendar.next(&seen)];
        assert_eq!(tasks, [Some(Task::Tell), Some(Task::Stage), None]);
        let by_hand = Seen { asked: Some((NOW - 1, false)), auto: Auto::Install, ..seen.clone() };
        let tasks = [(); 4].map(|()| calendar.next(&by_hand));
        assert_eq!(tasks, [Some(Task::Tell), Some(Task::Stage), Some(Task::Upgrade), None]);
        let failed = Seen { asked: Some((NOW - 1, true)), ..seen };
        assert_eq!(Calendar::default().next(&failed), None, "nothing follows from a check that failed");
    }

    #[test]
    fn whether_an_upgrade_is_to_be_begun_is_looked_at_every_five_minutes_while_the_depot_answers() {
        let mut seen = Seen { auto: Auto::Install, hours: 0, ..seen() };
        let minutes = |calendar: &mut Calendar, seen: &mut Seen| -> Vec<i64> {
            let looks = (0..16).filter(|minute| {
                seen.now = NOW + minute * 60;
                calendar.next(seen) == Some(Task::Upgrade)
            });
            looks.collect()
        };
        assert_eq!(minutes(&mut Calendar::default(), &mut seen), [1, 6, 11], "fetching comes first");
        let mut failed = Seen { asked: Some((NOW - 60, true)), ..seen.clone() };
        assert_eq!(minutes(&mut Calendar::default(), &mut failed), [0; 0]);
        let mut stage = Seen { auto: Auto::Stage, ..seen.clone() };
        assert_eq!(minutes(&mut Calendar::default(), &mut stage), [0; 0]);
        // A clock that was set back keeps none from being begun.
        let mut calendar = Calendar { looked: Some(NOW + 1_000_000), followed: Some(NOW - 60), ..Calendar::default() };
        assert_eq!(minutes(&mut calendar, &mut seen), [0, 5, 10, 15]);
    }

    #[test]
    fn mail_that_failed_is_tried_again_every_hour() {
        let mut seen = Seen { mail: true, hours: 0, mail_failed: Some(NOW), ..seen() };
        let (mut calendar, mut times) = (Calendar::default(), Vec::new());
        for minute in 0..240 {
            seen.now = NOW + minute * 60;
            if calendar.next(&seen) == Some(Task::Tell) {
                times.push(minute);
            }
        }
        assert_eq!(times, [0, 60, 120, 180], "the first because of the check");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_from_happening() {
        let ahead = Seen { asked: Some((NOW + 3650 * DAY, false)), ..seen() };
        let done = days(2, ahead, |_| false);
        assert!((2..=3).contains(&done.len()), "{done:?}");
    }

    #[test]
    fn what_could_not_be_begun_is_due_again() {
        let (mut calendar, seen) = (Calendar::default(), Seen { mail: true, ..seen() });
        let task = calendar.next(&seen).unwrap();
        assert_eq!(task, Task::Tell);
        assert_eq!(calendar.next(&seen), None);
        calendar.again(task);
        assert_eq!(calendar.next(&seen), Some(task));
        let late = Seen { asked: Some((NOW - 3 * DAY, false)), ..seen };
        assert_eq!(calendar.next(&late), Some(Task::Check));
        assert_ne!(calendar.next(&late), Some(Task::Check), "it was begun");
        calendar.again(Task::Check);
        assert_eq!(calendar.next(&late), Some(Task::Check));
    }
}
