//! `eyelet image`: makes one file that is a whole system for a board.

use super::print_line;
use crate::Failure;
use crate::board::Board;
use crate::board::choose::SHIPPED;
use crate::board::labelling::Labelling;
use crate::data_roots::DataRoots;
use crate::failure::Cause;
use crate::image::apt::Apt;
use crate::image::{self, BuiltImage, Deb, Recipe, machine};
use crate::limits;
use crate::model::Model;
use crate::toml_file::read_text;
use crate::update::PublicKey;
use std::path::{Path, PathBuf};

const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `eyelet image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A board by name (`eyelet list boards`)
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "board_file",
        conflicts_with = "board_file"
    )]
    board: Option<String>,
    /// Your own board file; its [firmware] table names the machine
    #[arg(long, value_name = "FILE")]
    board_file: Option<PathBuf>,
    /// Where to put the image
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Include this model instead of the board file's: a name (`eyelet list models`) or an ONNX file
    #[arg(long, value_name = "NAME|FILE.onnx")]
    model: Option<String>,
    /// The static aarch64 eyelet (by default the one that `cargo static-aarch64` made)
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A kernel package, Debian's linux-image-VERSION-arm64 or Raspberry Pi OS's; for a kernel in several packages repeat
    /// --kernel (by default apt fetches Debian's)
    #[arg(long, value_name = "FILE.deb")]
    kernel: Vec<PathBuf>,
    /// The package raspi-firmware, and others with overlays: repeat --firmware (by default apt fetches it if the board needs it)
    #[arg(long, value_name = "FILE.deb")]
    firmware: Vec<PathBuf>,
    /// The package busybox-static for arm64 (by default apt fetches it if the board file asks for a shell)
    #[arg(long, value_name = "FILE.deb")]
    busybox: Option<PathBuf>,
    /// The image's version in its manifest (by default this tool's)
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// The public key for updates (`minisign -G` makes minisign.pub): only updates signed with it are accepted
    #[arg(long, value_name = "FILE.pub")]
    public_key: Option<PathBuf>,
    /// Print the bill of materials (JSON) instead of a summary
    #[arg(long)]
    manifest: bool,
}

/// Makes the image.
pub fn run(args: &Args) -> Result<(), Failure> {
    // Checked before packages are fetched, which takes a while.
    image::output_place(&args.output)?;
    let (board, text) = board(args)?;
    let needs = board.firmware.machine.map(machine::needs);
    let public_key = args.public_key.as_deref().map(public_key).transpose()?;
    let version = args.version.as_deref().unwrap_or(TOOL_VERSION);
    if public_key.is_some() && args.version.is_none() {
        log::warn!(
            "no --version: this image gets the tool's, {version}, and boards treat all images of that version as equally new; pass --version, a higher one for each image"
        );
    }
    let program = image::find_program(args.program.as_deref())?;
    let model = args.model.as_deref().unwrap_or(&board.model);
    let found = Model::find(model, None)?;
    if let Some(warning) = Labelling::of(&board, &found)?.lettering.warning() {
        log::warn!("{warning}");
    }
    let packages = packages(args, &board, needs)?;
    let built = image::make(
        &Recipe {
            board: &board,
            board_text: &text,
            board_folder: args.board_file.as_deref().and_then(Path::parent),
            model,
            program: &program,
            kernel: &packages.kernel,
            firmware: &packages.firmware,
            busybox: packages.busybox.as_ref(),
            version,
            public_key: public_key.as_ref(),
        },
        &args.output,
    )?;
    for note in &built.notes {
        log::warn!("{note}");
    }
    if args.manifest {
        let json = built.manifest.json();
        json.lines().try_for_each(print_line)
    } else {
        summary(&built, &args.output)
    }
}

/// The packages that an image is made from.
struct Packages {
    kernel: Vec<Deb>,
    firmware: Vec<Deb>,
    busybox: Option<Deb>,
}

/// The kernel, the Pi's firmware and the shell: from the given files, the others from apt. Everything that apt lacks is reported
/// at once.
fn packages(
    args: &Args,
    board: &Board,
    needs: Option<&machine::Needs>,
) -> Result<Packages, Failure> {
    let apt = Apt::of_this_user();
    let mut lacks: Vec<Failure> = Vec::new();
    let mut fetched = |wanted: bool, fetch: &dyn Fn() -> Result<Vec<PathBuf>, Failure>| {
        if !wanted {
            return Vec::new();
        }
        fetch().unwrap_or_else(|failure| {
            lacks.push(failure);
            Vec::new()
        })
    };
    let one = |name: &str| apt.package(name).map(|file| vec![file]);
    let kernel_at_least = needs.and_then(|needs| needs.kernel_at_least);
    let kernel = match &args.kernel[..] {
        [] => fetched(true, &|| apt.kernel(kernel_at_least)),
        named => named.to_vec(),
    };
    let wants_firmware = needs.is_some_and(|needs| needs.start_files.is_some());
    let firmware = match &args.firmware[..] {
        [] => fetched(wants_firmware, &|| one("raspi-firmware")),
        named => named.to_vec(),
    };
    let busybox = match &args.busybox {
        None => fetched(board.firmware.shell, &|| one("busybox-static:arm64")),
        Some(named) => vec![named.clone()],
    };
    match &lacks[..] {
        [] => {}
        [only] => return Err(only.clone()),
        several => {
            let lines: Vec<_> = several.iter().map(|lack| lack.message.clone()).collect();
            return Err(Failure::of_lines(Cause::Package, &lines));
        }
    }
    let open = |files: &[PathBuf]| -> Result<Vec<Deb>, Failure> {
        files.iter().map(|file| Ok(Deb::open(file)?)).collect()
    };
    Ok(Packages {
        kernel: open(&kernel)?,
        firmware: open(&firmware)?,
        busybox: open(&busybox)?.pop(),
    })
}

fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    let fail = |why: String| {
        let what = format!("cannot use the public key {}: {why}", file.display());
        Failure::new(Cause::Package, what)
    };
    let text = read_text(file, limits::KEY_FILE_BYTES).map_err(|error| fail(error.to_string()))?;
    PublicKey::of_file(&text).map_err(|why| fail(why.to_owned()))
}

/// The board and the text of its file.
fn board(args: &Args) -> Result<(Board, String), Failure> {
    if let Some(file) = &args.board_file {
        let board = Board::load(file)?;
        let text = read_text(file, limits::TOML_FILE_BYTES).map_err(|error| {
            Failure::new(
                Cause::Board,
                format!("cannot read the board file {}: {error}", file.display()),
            )
        })?;
        return Ok((board, text));
    }
    let name = args.board.as_deref().unwrap_or_default();
    let roots = DataRoots::of_this_machine();
    let board = Board::named(name, &roots)?;
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == board.name);
    Ok((board, shipped.map_or("", |shipped| shipped.text).to_owned()))
}

fn summary(built: &BuiltImage, output: &Path) -> Result<(), Failure> {
    const MIB: u64 = 1 << 20;
    let manifest = &built.manifest;
    print_line(format_args!(
        "{}: version {} for {}, model {}, Linux {}",
        output.display(),
        manifest.version,
        manifest.board,
        manifest.model,
        manifest.kernel
    ))?;
    for package in &manifest.packages {
        print_line(format_args!("  {} {}", package.name, package.version))?;
    }
    if let Some(key) = &manifest.public_key {
        print_line(format_args!("  accepts only updates signed with {key}"))?;
    }
    for (number, (label, size, used)) in (1..).zip(built.partitions) {
        print_line(format_args!(
            "  partition {number}  {label:<11} {:>4} MiB, {:>5.1} MiB used",
            size / MIB,
            used as f64 / MIB as f64
        ))?;
    }
    print_line(format_args!(
        "{} MiB; `eyelet flash {} DEVICE` writes it to a card",
        built.size_bytes / MIB,
        output.display()
    ))
}
