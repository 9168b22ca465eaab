use super::*;

#[test]
fn a_reason_names_a_few_and_counts_the_rest() {
    assert_eq!(trouble(&[]), None);
    let troubles: Vec<String> = (0..5).map(|number| format!("/mnt/{number} does not answer")).collect();
    let Some(Fault::Degraded(reason)) = trouble(&troubles) else { panic!("no fault") };
    assert_eq!(reason, "/mnt/0 does not answer; /mnt/1 does not answer; /mnt/2 does not answer; and 2 more");
}

#[test]
fn what_is_kept_back_for_root_counts_neither_as_used_nor_as_free() {
    let mount = &mount::parse(b"27 1 254:0 / / rw - ext4 /dev/vda ro\n").unwrap()[0];
    let space = Space { total: 100.0, free: 30.0, available: 20.0, inodes: 0.0, inodes_free: 0.0 };
    let samples = space_samples(mount, &space);
    assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [100.0, 70.0, 20.0, 10.0, 70.0 / 90.0]);
    assert!(
        samples.iter().all(|sample| sample.series.attributes.contains(&("system.filesystem.mode".into(), "ro".into())))
    );
    assert_eq!(read_only_sample(mount).value, 1.0);
    let with_inodes = Space { inodes: 10.0, inodes_free: 4.0, ..space };
    assert_eq!(space_samples(mount, &with_inodes).last().unwrap().value, 0.6);
}
