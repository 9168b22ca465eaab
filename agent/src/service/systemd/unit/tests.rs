use super::*;
use ActiveState::{Activating, Active, Deactivating, Failed, Inactive, Reloading};

/// A unit that was active when it was first seen.
fn active() -> Unit {
    let mut unit = Unit::new("web.service".to_owned());
    step(&mut unit, Active, 0, 100);
    assert_eq!(unit.status().unwrap().stop_requested, None);
    unit
}

/// Both signals of one change. True if the job's type is to be asked for.
fn step(unit: &mut Unit, active: ActiveState, job: u32, pid: u32) -> bool {
    let main = Main { pid, ..Main::none(active) };
    unit.main_changed(main);
    let state = State { active, sub: String::new(), job };
    unit.state_changed(state, Sequence::default()).unwrap()
}

fn requested(unit: &Unit) -> Option<bool> {
    unit.status().expect("a status that does not wait for anything").stop_requested
}

#[test]
fn a_death_was_not_asked_for() {
    for down in [Failed, Inactive, Deactivating, Activating] {
        let mut unit = active();
        assert!(!step(&mut unit, down, 0, 0));
        assert_eq!(requested(&unit), Some(false), "{down:?}");
    }
}

#[test]
fn a_stop_job_asks() {
    let mut unit = active();
    assert!(step(&mut unit, Active, 7, 100), "the job is new");
    assert!(!step(&mut unit, Deactivating, 7, 100), "and asked for once");
    assert_eq!(unit.status(), None, "nothing is said before the answer");
    step(&mut unit, Inactive, 7, 0);
    unit.job_is(7, Some(JobKind::Stop));
    step(&mut unit, Inactive, 0, 0);
    assert_eq!(requested(&unit), Some(true));
}

#[test]
fn a_restart_asks_even_if_its_type_is_read_when_it_already_starts() {
    for kind in [JobKind::Restart, JobKind::Start] {
        let mut unit = active();
        step(&mut unit, Active, 7, 100);
        step(&mut unit, Deactivating, 7, 100);
        step(&mut unit, Inactive, 7, 0);
        unit.job_is(7, Some(kind));
        assert_eq!(requested(&unit), Some(true));
        step(&mut unit, Activating, 7, 200);
        step(&mut unit, Active, 7, 200);
        assert_eq!(requested(&unit), Some(true));
    }
}

#[test]
fn the_start_of_a_restart_that_fails_was_not_asked_for() {
    let mut unit = active();
    step(&mut unit, Active, 7, 100);
    unit.job_is(7, Some(JobKind::Restart));
    step(&mut unit, Deactivating, 7, 100);
    step(&mut unit, Inactive, 7, 0);
    assert_eq!(requested(&unit), Some(true));
    step(&mut unit, Activating, 7, 200);
    step(&mut unit, Failed, 7, 0);
    assert_eq!(requested(&unit), Some(false));
}

#[test]
fn a_death_during_a_reload_was_not_asked_for() {
    let mut unit = active();
    step(&mut unit, Reloading, 7, 100);
    unit.job_is(7, Some(JobKind::Other));
    step(&mut unit, Failed, 7, 0);
    assert_eq!(requested(&unit), Some(false));
}

#[test]
fn a_restart_that_is_merged_into_the_job_that_is_there_asks() {
    for kind in [JobKind::Restart, JobKind::Start, JobKind::Other] {
        let mut unit = active();
        step(&mut unit, Inactive, 0, 0);
        step(&mut unit, Inactive, 7, 0);
        step(&mut unit, Activating, 7, 200);
        unit.job_is(7, Some(kind));
        step(&mut unit, Deactivating, 7, 200);
        assert_eq!(requested(&unit), Some(true));
    }
}

#[test]
fn a_start_that_fails_slowly_was_not_asked_for() {
    let mut unit = active();
    step(&mut unit, Inactive, 0, 0);
    step(&mut unit, Activating, 7, 200);
    unit.job_is(7, Some(JobKind::Start));
    unit.main_changed(Main { result: "exit-code".to_owned(), ..Main::none(Deactivating) });
    unit.state_changed(State { active: Deactivating, sub: String::new(), job: 7 }, Sequence::default());
    assert_eq!(requested(&unit), Some(false));
}

#[test]
fn a_wanted_stop_is_remembered_of_a_unit_that_systemd_forgets() {
    let mut unit = active();
    step(&mut unit, Inactive, 7, 0);
    unit.removed();
    unit.job_is(7, Some(JobKind::Stop));
    assert!(unit.is_removed() && !unit.is_forgotten());
    let mut unit = active();
    step(&mut unit, Inactive, 0, 0);
    unit.removed();
    assert!(unit.is_forgotten());
    step(&mut unit, Active, 0, 100);
    assert!(!unit.is_removed());
}

#[test]
fn a_job_too_short_to_be_read_is_told_by_its_result() {
    for (done, order) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let mut unit = active();
        step(&mut unit, Inactive, 7, 0);
        if order == 0 {
            unit.job_is(7, None);
            unit.job_ended(7, done);
        } else {
            unit.job_ended(7, done);
            assert_eq!(unit.status(), None);
            unit.job_is(7, None);
        }
        assert_eq!(requested(&unit), Some(done));
    }
}

#[test]
fn a_job_that_ended_in_the_same_step_still_explains_it() {
    let mut unit = active();
    step(&mut unit, Active, 7, 100);
    unit.job_is(7, Some(JobKind::Stop));
    step(&mut unit, Inactive, 0, 0);
    assert_eq!(requested(&unit), Some(true));
}

#[test]
fn stopping_what_dies_by_itself_asks() {
    let mut unit = active();
    step(&mut unit, Deactivating, 0, 0);
    assert_eq!(requested(&unit), Some(false));
    step(&mut unit, Deactivating, 7, 0);
    unit.job_is(7, Some(JobKind::Stop));
    assert_eq!(requested(&unit), Some(true));
}

#[test]
fn a_refused_start_was_not_asked_for() {
    let mut unit = active();
    step(&mut unit, Inactive, 7, 0);
    unit.job_is(7, Some(JobKind::Stop));
    assert_eq!(requested(&unit), Some(true));
    step(&mut unit, Inactive, 0, 0);
    step(&mut unit, Failed, 8, 0);
    unit.job_is(8, Some(JobKind::Start));
    assert_eq!(requested(&unit), Some(false));
}

#[test]
fn a_process_of_a_unit_that_is_down_is_about_to_be_its_start() {
    let mut unit = active();
    step(&mut unit, Failed, 0, 0);
    let failed = unit.status();
    step(&mut unit, Failed, 8, 200);
    assert_eq!(unit.status(), failed);
    unit.main_changed(Main { result: "success".to_owned(), ..Main::none(Failed) });
    unit.state_changed(State { active: Failed, sub: String::new(), job: 8 }, Sequence::default());
    assert_eq!(unit.status(), failed, "nor is a failure without a reason one");
    step(&mut unit, Active, 8, 200);
    assert_eq!(unit.status().unwrap().main_pid, Some(200));
}

#[test]
fn half_a_change_is_no_status() {
    let mut unit = Unit::new("web.service".to_owned());
    let state = State { active: Active, sub: "running".to_owned(), job: 0 };
    assert_eq!(unit.state_changed(state.clone(), Sequence::default()), None);
    assert_eq!(unit.status(), None);
    let mut mount = Unit::new("tmp.mount".to_owned());
    assert_eq!(mount.state_changed(state, Sequence::default()), Some(false));
    assert_eq!(mount.status().unwrap().result, "success");
}

#[test]
fn readings_tell_what_was_seen_and_no_more() {
    let reading = |active, job: Option<JobKind>| Reading {
        unit: "web.service".to_owned(),
        load: "loaded".to_owned(),
        state: State { active, sub: String::new(), job: u32::from(job.is_some()) },
        job,
        main: Main::none(active),
        at: Sequence::default(),
    };
    let first = |active, job| {
        let mut unit = Unit::new("web.service".to_owned());
        unit.read(&reading(active, job));
        requested(&unit)
    };
    assert_eq!(first(Failed, None), None);
    assert_eq!(first(Active, Some(JobKind::Stop)), None);
    assert_eq!(first(Deactivating, Some(JobKind::Stop)), Some(true));
    assert_eq!(first(Deactivating, None), Some(false));

    let mut unit = active();
    unit.disconnected();
    unit.read(&reading(Failed, None));
    assert_eq!(requested(&unit), None, "it went down while nobody looked");

    let mut unit = active();
    step(&mut unit, Failed, 0, 0);
    unit.read(&reading(Failed, None));
    assert_eq!(requested(&unit), Some(false), "what was seen before stays");
}

#[test]
fn how_the_process_ended() {
    let told = |code, status| {
        let mut unit = Unit::new("web.service".to_owned());
        unit.main_changed(Main { code, status, ..Main::none(Failed) });
        unit.state_changed(State { active: Failed, sub: String::new(), job: 0 }, Sequence::default());
        let status = unit.status().unwrap();
        (status.exit_code, status.exit_signal)
    };
    assert_eq!(told(0, 0), (None, None));
    assert_eq!(told(1, 3), (Some(3), None));
    assert_eq!(told(2, 9), (None, Some(9)));
    assert_eq!(told(3, 11), (None, Some(11)));
}
