//! Names that move while they are looked at, one step at a time.

use std::fs::rename;

use super::*;
use crate::clock::SystemClock;
use crate::signal::Router;
use crate::signal::collector::log::PathGlob;
use crate::signal::collector::{Context, Health};

const NOW: Duration = Duration::from_secs(100);

struct Bench {
    dir: tempfile::TempDir,
    follower: Follower,
    publisher: Publisher,
}

impl Bench {
    /// A follower of `path` without inotify.
    fn new(path: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let context = Context {
            router: Arc::new(Router::default()),
            health: Arc::new(Health::new(clock.clone())),
            clock,
            root: dir.path().to_owned(),
            interval: Duration::from_secs(1),
        };
        let paths = vec![PathGlob::parse(path.as_ref()).unwrap()];
        let spec = FileSpec { paths, multiline: None, from: FirstSeen::End, max_line: 1024 };
        let follower = Follower::new(spec, dir.path(), None, Arc::default(), None);
        Self { follower, publisher: Publisher::new(context, "app", 1024), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str) {
        fs::write(self.path(name), name).unwrap();
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::of(&fs::metadata(self.path(name)).unwrap())
    }

    fn rename(&self, from: &str, to: &str) {
        rename(self.path(from), self.path(to)).unwrap();
    }

    fn look(&mut self) {
        assert!(self.follower.look(NOW, &self.publisher));
    }

    /// A look that lists the directory while it is so as `before` makes it and is over when it is so as `after` makes it.
    fn look_while(&mut self, before: impl FnOnce(&Self), after: impl FnOnce(&Self)) {
        let present = self.follower.present();
        self.follower.compare(&present, NOW, &self.publisher);
        before(self);
        let around = around([self.path("any")].iter());
        assert!(self.follower.open_missed(&present, &around, NOW));
        assert!(self.follower.open_new(&present, NOW));
        after(self);
        self.follower.remember(&around, NOW);
    }

    fn open(&self) -> Vec<Identity> {
        self.follower.tails.iter().map(|tail| tail.identity).collect()
    }
}

#[test]
fn a_file_that_is_listed_under_a_name_that_was_nobodys_is_new_though_it_is_rotated_next() {
    let mut bench = Bench::new("/app.log");
    bench.look();
    bench.look_while(|bench| bench.write("app.log"), |bench| bench.rename("app.log", "app.log.1"));
    assert_eq!(bench.open(), []);
    bench.look();
    assert_eq!(bench.open().len(), 1);
    assert_eq!(bench.follower.tails[0].path, bench.path("app.log"));
}

#[test]
fn the_same_if_the_name_is_of_a_glob_and_was_given_up_before() {
    let mut bench = Bench::new("/*.log");
    bench.write("app.log");
    let first = bench.identity("app.log");
    bench.look();
    bench.rename("app.log", "app.log.1");
    bench.look();
    bench.look_while(|bench| bench.write("app.log"), |bench| bench.rename("app.log", "app.log.2"));
    assert_eq!(bench.open(), [first]);
    bench.look();
    assert_eq!(bench.open().len(), 2);
}

#[test]
fn an_old_file_that_a_list_left_out_is_not_read_again() {
    let mut bench = Bench::new("/app.log");
    bench.write("app.log.1");
    bench.write("app.log");
    let first = bench.identity("app.log");
    bench.look();
    // It is between two names when it is listed.
    let aside = bench.dir.path().join("aside");
    fs::create_dir(&aside).unwrap();
    bench.look_while(
        |bench| rename(bench.path("app.log.1"), aside.join("1")).unwrap(),
        |bench| rename(aside.join("1"), bench.path("app.log.2")).unwrap(),
    );
    bench.rename("app.log", "app.log.1");
    bench.write("app.log");
    let second = bench.identity("app.log");
    bench.look();
    assert_eq!(bench.open(), [first, second]);
}

#[test]
fn a_name_that_changed_in_a_look_that_was_not_complete_stays_changed() {
    let mut bench = Bench::new("/app.log");
    bench.look();
    bench.write("app.log");
    let missed = bench.identity("app.log");
    bench.rename("app.log", "app.log.1");
    bench.write("app.log");
    let new = bench.identity("app.log");
    // It is shifted on between the list and its opening.
    let present = bench.follower.present();
    bench.follower.compare(&present, NOW, &bench.publisher);
    let around = around([bench.path("any")].iter());
    bench.rename("app.log.1", "app.log.2");
    assert!(!bench.follower.open_missed(&present, &around, NOW));
    assert!(bench.follower.open_new(&present, NOW));
    bench.look();
    assert_eq!(bench.open(), [new, missed]);
}

#[test]
fn a_file_that_is_listed_twice_is_read_once() {
    let mut bench = Bench::new("/app.log");
    bench.look();
    bench.write("app.log");
    let missed = bench.identity("app.log");
    bench.rename("app.log", "app.log.1");
    fs::hard_link(bench.path("app.log.1"), bench.path("app.log.2")).unwrap();
    bench.look();
    assert_eq!(bench.open(), [missed]);
}
