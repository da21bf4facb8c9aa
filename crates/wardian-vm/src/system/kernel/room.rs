//! How much memory the system has left.

/// Bytes that the system and the process's control group have left, if they say so.
pub(crate) fn room() -> Option<u64> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let there = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10;
    Some(in_group().map_or(there, |group| there.min(group)))
}

/// What the limit of the control group leaves; none if there is no limit.
fn in_group() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |name| std::fs::read_to_string(format!("/sys/fs/cgroup{path}/{name}")).ok();
    let most = read("memory.max")?.trim().parse::<u64>().ok()?;
    let used = read("memory.current")?.trim().parse::<u64>().ok()?;
    let stat = read("memory.stat")?;
    let count = |name| {
        let value = stat.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|v| v.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    // Files on disks can be read again.
    Some((most + count("inactive_file ") + count("active_file ")).saturating_sub(used))
}
