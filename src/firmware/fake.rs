//! For tests: a program in place of `eyelet` that records its commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// The program, in a folder of its own.
pub struct Program {
    /// Its folder, which its script has as `$folder`.
    pub folder: tempfile::TempDir,
    /// Its file.
    pub path: PathBuf,
}

impl Program {
    /// A program that records its arguments and runs `script`.
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eyelet");
        let script = format!(
            "#!/bin/sh\nfolder={}\necho \"$@\" >> $folder/commands\n{script}\n",
            folder.path().display()
        );
        // Written by another process: a file that this one has just written cannot be run while another test forks.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", &script])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, path }
    }

    /// The commands so far: their arguments, with single spaces.
    pub fn commands(&self) -> Vec<String> {
        let commands = fs::read_to_string(self.folder.path().join("commands"));
        let commands = commands.unwrap_or_default();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        commands.lines().map(words).collect()
    }
}
