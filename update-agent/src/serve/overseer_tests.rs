use super::*;
use crate::health::Finding;

/// A machine under the overseer in simulated time: each job takes some seconds, the checks are well or not by the second.
struct Play {
    overseer: Overseer,
    now: u64,
    on_trial: Vec<Kind>,
    /// A site that is half switched.
    cut_off: bool,
    /// Jobs done, with the second they were begun.
    done: Vec<(u64, Job)>,
    said: Vec<String>,
    starved: Option<u64>,
}

const SETTLE: u64 = 5;
const DEADLINE: u64 = 60;

impl Play {
    fn new(on_trial: &[Kind], now: u64) -> Self {
        let on_trial = on_trial.to_vec();
        Self {
            overseer: Overseer::new(Duration::ZERO),
            now,
            on_trial,
            cut_off: false,
            done: Vec::new(),
            said: Vec::new(),
            starved: None,
        }
    }

    /// Runs for some seconds. `well` tells of a second whether the checks hold; a job named by `hangs` never ends.
    fn run(&mut self, seconds: u64, well: impl Fn(u64) -> bool, hangs: Option<&Job>) -> &mut Self {
        let end = self.now + seconds;
        let mut hanging = false;
        while self.now < end {
            let now = Duration::from_secs(self.now);
            if !self.overseer.may_feed(now) {
                self.starved.get_or_insert(self.now);
            }
            if let Some(job) = self.overseer.next_job(now, false).filter(|_| !hanging) {
                self.done.push((self.now, job.clone()));
                hanging = Some(&job) == hangs;
                if !hanging {
                    let report = self.perform(&job, well(self.now));
                    self.said.extend(self.overseer.take(now, report));
                    continue;
                }
            }
            self.now += 1;
        }
        self
    }

    fn perform(&mut self, job: &Job, well: bool) -> Report {
        let seconds = Duration::from_secs;
        match job {
            Job::Survey => Report::Surveyed(Survey {
                on_trial: self.on_trial.clone(),
                under_way: false,
                cut_off: self.cut_off,
                settle: seconds(SETTLE),
                deadline: seconds(DEADLINE),
            }),
            Job::Round if well => Report::Round(Verdict::default()),
            Job::Round => {
                let blocking = vec![Finding::failed("site/page", "the page answers 200", "status 500")];
                Report::Round(Verdict { blocking, excused: Vec::new() })
            }
            Job::Settle => {
                self.on_trial.clear();
                Report::Settled
            }
            Job::GiveUp(kind, _) => {
                self.on_trial.retain(|other| other != kind);
                Report::GivenUp(*kind)
            }
            Job::FinishSwitch => {
                self.cut_off = false;
                self.on_trial.push(Kind::Site);
                Report::Settled
            }
            Job::Restart => Report::Restarting,
        }
    }

    /// The jobs that change something.
    fn changes(&self) -> Vec<(u64, &Job)> {
        let changes = self.done.iter().filter(|(_, job)| !matches!(job, Job::Survey | Job::Round));
        changes.map(|(at, job)| (*at, job)).collect()
    }

    fn given_up(&self) -> (u64, Kind, &str) {
        let found = self.done.iter().find_map(|(at, job)| match job {
            Job::GiveUp(kind, reason) => Some((*at, *kind, reason.as_str())),
            _ => None,
        });
        found.unwrap()
    }
}

#[test]
fn a_healthy_release_is_kept_after_its_settle_time_and_then_there_is_rest() {
    let mut play = Play::new(&[Kind::Base], 20);
    play.run(200, |_| true, None);
    assert_eq!(play.changes(), [(25, &Job::Settle)]);
    assert_eq!((play.starved, play.said.len()), (None, 0));
    let rounds = play.done.len();
    play.run(1000, |_| false, None);
    assert_eq!(play.done.len(), rounds, "nothing on trial, nothing to watch");
}

#[test]
fn a_release_that_is_not_healthy_is_given_up_at_its_deadline_with_the_reason_and_a_restart_follows() {
    let mut play = Play::new(&[Kind::Base], 20);
    play.run(100, |_| false, None);
    let (at, kind, reason) = play.given_up();
    assert_eq!((at, kind), (DEADLINE, Kind::Base), "counted from the first start of the daemon, this is a later one");
    for part in ["not healthy after 60 s: site/page failed: status 500 (wanted: the page answers 200)", "history --log"]
    {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(play.changes().last(), Some(&(61, &Job::Restart)));
    assert_eq!(play.said, ["not healthy: site/page failed: status 500 (wanted: the page answers 200)"], "said once");
}

#[test]
fn a_release_that_becomes_healthy_late_is_kept() {
    let mut play = Play::new(&[Kind::Base], 0);
    play.run(200, |second| second >= 58, None);
    assert_eq!(play.changes(), [(63, &Job::Settle)], "well at the deadline: it may finish its settle time");
}

#[test]
fn a_service_that_comes_and_goes_is_never_kept() {
    let mut play = Play::new(&[Kind::Base], 0);
    play.run(200, |second| second % 4 != 3, None);
    let (at, _, reason) = play.given_up();
    assert!((DEADLINE..DEADLINE + 5).contains(&at), "{at}");
    assert!(reason.contains("times in between, never long enough)"), "{reason}");
    assert!(play.changes().iter().all(|(_, job)| **job != Job::Settle));
}

#[test]
fn a_site_on_trial_is_given_up_without_a_restart_and_what_comes_back_is_left_alone() {
    let mut play = Play::new(&[Kind::Site], 1000);
    play.run(200, |_| false, None);
    let (at, kind, _) = play.given_up();
    assert_eq!((at, kind), (1000 + DEADLINE, Kind::Site), "counted from when it was found on trial");
    assert_eq!(play.changes().len(), 1, "{:?}", play.changes());
}

#[test]
fn of_base_and_site_on_trial_the_site_goes_first_and_the_base_has_its_full_time_after_that() {
    let mut play = Play::new(&[Kind::Base, Kind::Site], 0);
    play.run(70, |second| second > 61, None);
    assert_eq!(play.given_up().1, Kind::Site);
    assert_eq!(play.changes().last(), Some(&(67, &Job::Settle)));
}

#[test]
fn with_nothing_on_trial_a_healthy_start_is_settled_and_an_unhealthy_one_is_waited_for() {
    let mut play = Play::new(&[], 0);
    play.run(1000, |second| second > 500, None);
    assert_eq!(play.changes(), [(506, &Job::Settle)]);
    assert_eq!(play.said.last().unwrap(), "healthy again");
}

#[test]
fn what_is_put_on_trial_later_is_watched_as_soon_as_the_records_change() {
    let mut play = Play::new(&[], 0);
    play.run(100, |_| true, None);
    play.on_trial = vec![Kind::Site];
    assert_eq!(play.overseer.next_job(Duration::from_secs(play.now), true), Some(Job::Survey));
    let report = play.perform(&Job::Survey, true);
    play.overseer.take(Duration::from_secs(play.now), report);
    play.run(200, |_| false, None);
    assert_eq!(play.given_up().0, 100 + DEADLINE);
}

#[test]
fn a_trial_that_ends_by_hand_is_not_judged_any_more() {
    let mut play = Play::new(&[Kind::Base], 0);
    play.run(10, |_| false, None);
    play.on_trial.clear();
    play.overseer.next = Duration::ZERO;
    assert_eq!(play.overseer.next_job(Duration::from_secs(10), true), Some(Job::Survey));
    let report = play.perform(&Job::Survey, true);
    play.overseer.take(Duration::from_secs(10), report);
    play.run(300, |_| false, None);
    assert_eq!(play.changes(), [], "the machine is only waited for");
}

#[test]
fn news_that_comes_while_a_job_is_under_way_counts_after_it() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let survey = Survey { settle: at(0), deadline: at(60), ..Survey::default() };
    for (job, report) in [
        (Job::Survey, Report::Surveyed(survey.clone())),
        (Job::Round, Report::Round(Verdict::default())),
        (Job::Settle, Report::Settled),
    ] {
        assert_eq!(overseer.next_job(at(0), false), Some(job.clone()));
        assert_eq!(overseer.next_job(at(0), job == Job::Settle), None, "one at a time");
        overseer.take(at(0), report);
    }
    assert_eq!(overseer.next_job(at(1), false), Some(Job::Survey));
    overseer.take(at(1), Report::Surveyed(survey));
    assert_eq!(overseer.next_job(at(9), false), None);
}

#[test]
fn news_does_not_give_a_failing_release_more_time() {
    let mut play = Play::new(&[Kind::Site], 100);
    for _ in 0..30 {
        play.run(5, |_| false, None);
        let now = Duration::from_secs(play.now);
        if let Some(job) = play.overseer.next_job(now, true) {
            let report = play.perform(&job, false);
            play.overseer.take(now, report);
        }
    }
    assert_eq!(play.given_up().1, Kind::Site);
}

#[test]
fn somebody_else_at_work_is_waited_for() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let survey =
        Survey { on_trial: vec![Kind::Base], under_way: false, cut_off: false, settle: at(0), deadline: at(60) };
    assert_eq!(overseer.next_job(at(0), false), Some(Job::Survey));
    overseer.take(at(0), Report::Surveyed(survey));
    for second in 0..5 {
        assert_eq!(overseer.next_job(at(second), false), Some(Job::Round), "judged again each time");
        overseer.take(at(second), Report::Round(Verdict::default()));
        assert_eq!(overseer.next_job(at(second), false), Some(Job::Settle));
        assert_eq!(overseer.take(at(second), Report::Busy), None);
        assert_eq!(overseer.next_job(at(second), false), None, "not more than once a second");
    }
}

#[test]
fn what_cannot_be_given_up_is_said_and_judged_again() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let survey =
        Survey { on_trial: vec![Kind::Base], under_way: false, cut_off: false, settle: at(5), deadline: at(0) };
    overseer.next_job(at(0), false);
    overseer.take(at(0), Report::Surveyed(survey));
    overseer.next_job(at(0), false);
    let blocking = vec![Finding::failed("base/x", "it runs", "no")];
    overseer.take(at(0), Report::Round(Verdict { blocking, excused: Vec::new() }));
    assert!(matches!(overseer.next_job(at(0), false), Some(Job::GiveUp(Kind::Base, _))));
    let line = overseer.take(at(0), Report::Failed("the disk is gone".into()));
    assert_eq!(line.as_deref(), Some("not given up, and judged again: the disk is gone"));
    assert_eq!(overseer.next_job(at(1), false), None, "not at once");
    assert_eq!(overseer.next_job(at(3), false), Some(Job::Survey));
}

#[test]
fn a_job_that_hangs_ends_the_feeding_and_a_slow_one_does_not() {
    for (job, limit) in [(Job::Survey, 60), (Job::Round, 120), (Job::Settle, 600)] {
        let mut play = Play::new(&[Kind::Base], 0);
        play.run(1000, |_| true, Some(&job));
        let begun = play.done.last().unwrap().0;
        assert_eq!(play.starved, Some(begun + limit), "{job:?}");
    }
}

#[test]
fn a_restart_that_does_not_happen_is_left_to_the_watchdog() {
    let mut play = Play::new(&[Kind::Base], 0);
    play.run(400, |_| false, None);
    assert_eq!(play.changes().iter().filter(|(_, job)| **job == Job::Restart).count(), 1);
    assert_eq!(play.starved, Some(DEADLINE + 120));
    let mut play = Play::new(&[Kind::Base], 0);
    play.run(400, |_| false, Some(&Job::Restart));
    assert_eq!(play.starved, Some(DEADLINE + 1 + 60));
}

#[test]
fn a_switch_under_way_is_asked_about_until_it_is_a_trial_and_nothing_is_kept_unjudged() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let survey = |kinds: &[Kind], under_way| {
        Report::Surveyed(Survey {
            on_trial: kinds.to_vec(),
            under_way,
            cut_off: false,
            settle: at(0),
            deadline: at(60),
        })
    };
    overseer.next_job(at(0), false);
    overseer.take(at(0), survey(&[], false));
    overseer.next_job(at(0), false);
    overseer.take(at(0), Report::Round(Verdict::default()));
    assert_eq!(overseer.next_job(at(0), false), Some(Job::Settle));
    overseer.take(at(0), Report::Changed);
    assert_eq!(overseer.next_job(at(1), false), Some(Job::Survey), "put on trial in between: judged first");
    overseer.settled = true;
    overseer.take(at(1), survey(&[], true));
    assert_eq!(overseer.next_job(at(2), false), None);
    assert_eq!(overseer.next_job(at(4), false), Some(Job::Survey), "without news");
    overseer.take(at(4), survey(&[Kind::Site], true));
    assert_eq!(overseer.next_job(at(4), false), Some(Job::Round));
}

#[test]
fn what_somebody_left_unfinished_is_settled_after_a_minute_and_not_while_he_is_at_it() {
    let mut overseer = Overseer::new(Duration::ZERO);
    overseer.settled = true;
    let at = Duration::from_secs;
    let mut settled = Vec::new();
    for second in 0..200 {
        let under_way = second < 150;
        match overseer.next_job(at(second), false) {
            Some(Job::Survey) => {
                let survey =
                    Survey { on_trial: Vec::new(), under_way, cut_off: false, settle: at(0), deadline: at(60) };
                overseer.take(at(second), Report::Surveyed(survey));
            }
            Some(Job::Settle) => {
                settled.push(second);
                overseer.take(at(second), if settled.len() == 1 { Report::Busy } else { Report::Settled });
            }
            None => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(settled.len() == 2 && settled[0] >= 60 && settled[1] >= settled[0] + 60, "{settled:?}");
    assert_eq!(overseer.next_job(at(300), false), None, "at rest once it is ended");
}

#[test]
fn a_switch_that_was_cut_off_is_finished_before_anything_is_judged_and_once_only() {
    for on_trial in [vec![], vec![Kind::Base]] {
        let mut play = Play::new(&on_trial, 10);
        play.cut_off = true;
        // The check that fails has nothing to do with the site, and would keep everything waiting.
        play.run(5, |_| false, None);
        let jobs: Vec<&Job> = play.done.iter().map(|(_, job)| job).collect();
        assert_eq!(jobs.get(..3), Some(&[&Job::Survey, &Job::FinishSwitch, &Job::Survey][..]), "{on_trial:?}");
        assert!(!jobs.contains(&&Job::Settle) && jobs.contains(&&Job::Round), "what it completes is on trial");
        // Another one later is one that this program makes.
        play.cut_off = true;
        play.run(20, |_| false, None);
        assert_eq!(play.done.iter().filter(|(_, job)| *job == Job::FinishSwitch).count(), 1);
    }
}

#[test]
fn a_switch_that_cannot_be_finished_does_not_keep_the_machine_from_being_judged() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let survey = Survey { under_way: true, cut_off: true, settle: at(0), deadline: at(60), ..Survey::default() };
    assert_eq!(overseer.next_job(at(1), false), Some(Job::Survey));
    overseer.take(at(1), Report::Surveyed(survey.clone()));
    // Somebody has the disk: asked again.
    assert_eq!(overseer.next_job(at(1), false), Some(Job::FinishSwitch));
    overseer.take(at(1), Report::Busy);
    assert_eq!(overseer.next_job(at(2), false), Some(Job::Survey));
    overseer.take(at(2), Report::Surveyed(survey.clone()));
    assert_eq!(overseer.next_job(at(2), false), Some(Job::FinishSwitch));
    assert!(overseer.take(at(2), Report::Failed("no hook".into())).unwrap().contains("not finished: no hook"));
    assert_eq!(overseer.next_job(at(3), false), Some(Job::Survey));
    overseer.take(at(3), Report::Surveyed(survey));
    assert_eq!(overseer.next_job(at(3), false), Some(Job::Round));
}

#[test]
fn a_disk_that_does_not_answer_is_asked_again_and_complained_about_once() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let mut said = Vec::new();
    for now in [1, 4, 7] {
        assert_eq!(overseer.next_job(at(now), false), Some(Job::Survey));
        said.extend(overseer.take(at(now), Report::Failed("read the boot state: no answer".into())));
        assert_eq!(overseer.next_job(at(now + 1), false), None);
    }
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_commit_that_could_not_be_written_is_tried_again_after_another_settle_time() {
    let mut overseer = Overseer::new(Duration::ZERO);
    let at = Duration::from_secs;
    let mut settles = 0;
    for now in 1..60 {
        while let Some(job) = overseer.next_job(at(now), false) {
            let report = match job {
                Job::Survey => Report::Surveyed(Survey {
                    on_trial: vec![Kind::Base],
                    settle: at(5),
                    deadline: at(60),
                    ..Survey::default()
                }),
                Job::Round => Report::Round(Verdict::default()),
                Job::Settle => {
                    settles += 1;
                    Report::Failed("the disk does not answer".into())
                }
                other => panic!("{other:?}"),
            };
            overseer.take(at(now), report);
        }
    }
    assert!((3..=9).contains(&settles), "{settles}");
}
