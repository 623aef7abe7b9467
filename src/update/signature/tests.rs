//! Signatures made by stock minisign 0.11 (`tests/fixtures/minisign`), intact and damaged.

#![allow(clippy::unwrap_used)]

use super::*;

const SIGNED: &[u8] = include_bytes!("../../../tests/fixtures/minisign/signed.txt");
const KEY: &str = include_str!("../../../tests/fixtures/minisign/minisign.pub");
const USUAL: &str = include_str!("../../../tests/fixtures/minisign/signed.txt.minisig");
const OLD_FORM: &str = include_str!("../../../tests/fixtures/minisign/signed.txt.old-form.minisig");
const ALLOW_OLDER: &str =
    include_str!("../../../tests/fixtures/minisign/signed.txt.allow-older.minisig");
const OTHER_KEY: &str =
    include_str!("../../../tests/fixtures/minisign/signed.txt.other-key.minisig");

fn key() -> PublicKey {
    PublicKey::of_file(KEY).unwrap()
}

/// Verifies the file `signed`, given in two pieces, against a signature.
fn verified(signed: &[u8], signature: &[u8]) -> Result<Permit, SignatureError> {
    let file = SignatureFile {
        name: "it.minisig".to_owned(),
        contents: Some(signature.to_owned()),
    };
    let key = key();
    let signature = file.decode(&key)?;
    let mut verifier = signature.verifier(&key)?;
    let (begin, end) = signed.split_at(signed.len() / 2);
    verifier.update(begin);
    verifier.update(end);
    verifier.finish()
}

fn line(text: &str, number: usize) -> &str {
    text.lines().nth(number).unwrap()
}

#[test]
fn a_signature_by_stock_minisign_is_accepted() {
    let usual = verified(SIGNED, USUAL.as_bytes()).unwrap();
    assert!(!usual.allows_older);
    // As after a transfer through a system with other line ends.
    verified(SIGNED, USUAL.replace('\n', "\r\n").as_bytes()).unwrap();
    let older = verified(SIGNED, ALLOW_OLDER.as_bytes()).unwrap();
    assert!(older.allows_older);
}

#[test]
fn each_wrong_signature_is_refused_with_its_reason() {
    let file = || "it.minisig".to_owned();
    let malformed = SignatureError::Malformed { file: file() };
    let wrong = SignatureError::Wrong { file: file() };
    let other_key = SignatureError::OtherKey {
        file: file(),
        key: key(),
    };
    let with_comment = |from: &str, comment: &str| {
        let lines = [line(from, 0), line(from, 1), comment, line(from, 3)];
        lines.join("\n")
    };
    // The other key's signature with this key's id, which ends in the fourteenth character.
    let disguised = {
        let mine = line(USUAL, 1);
        let theirs = line(OTHER_KEY, 1);
        let mixed = format!("{}{}", &mine[..14], &theirs[14..]);
        OTHER_KEY.replacen(theirs, &mixed, 1)
    };
    let long = format!("{USUAL}{}", "x".repeat(LONGEST_BYTES));
    let cases: [(&str, &[u8], String, &SignatureError); 10] = [
        (
            "another file",
            b"Not what was signed.\n",
            USUAL.into(),
            &wrong,
        ),
        ("nothing", b"", USUAL.into(), &wrong),
        ("a wrong key", SIGNED, OTHER_KEY.into(), &other_key),
        ("a wrong key, disguised", SIGNED, disguised, &wrong),
        (
            "a flag put in",
            SIGNED,
            with_comment(USUAL, "trusted comment: allow-older"),
            &wrong,
        ),
        (
            "a flag taken out",
            SIGNED,
            with_comment(ALLOW_OLDER, "trusted comment: "),
            &wrong,
        ),
        (
            "no trusted comment",
            SIGNED,
            with_comment(USUAL, "a comment"),
            &malformed,
        ),
        ("an empty file", SIGNED, String::new(), &malformed),
        ("one without end", SIGNED, long, &malformed),
        ("an image", SIGNED, "\0".repeat(4096), &malformed),
    ];
    for (what, signed, signature, expected) in cases {
        let error = verified(signed, signature.as_bytes()).unwrap_err();
        assert_eq!(error, *expected, "{what}");
    }
    let error = verified(SIGNED, OLD_FORM.as_bytes()).unwrap_err();
    assert_eq!(error, SignatureError::OldForm { file: file() });
    let error = verified(SIGNED, b"\xff\xfe not text").unwrap_err();
    assert_eq!(error, malformed);
    let nothing = SignatureFile {
        name: file(),
        contents: None,
    };
    let error = nothing.decode(&key()).err().unwrap();
    assert!(matches!(error, SignatureError::Missing { .. }), "{error}");
}

#[test]
fn one_flipped_bit_of_a_signature_or_of_a_file_is_refused() {
    // The first line is the untrusted comment, which nobody signed.
    let begin = line(USUAL, 0).len() + 1;
    for at in begin..USUAL.len() {
        for bit in 0..8 {
            let mut damaged = USUAL.as_bytes().to_vec();
            damaged[at] ^= 1 << bit;
            let result = verified(SIGNED, &damaged);
            assert!(result.is_err(), "byte {at}, bit {bit}");
        }
    }
    for at in 0..SIGNED.len() {
        for bit in 0..8 {
            let mut damaged = SIGNED.to_vec();
            damaged[at] ^= 1 << bit;
            let error = verified(&damaged, USUAL.as_bytes()).unwrap_err();
            assert!(matches!(error, SignatureError::Wrong { .. }), "{error}");
        }
    }
}

#[test]
fn a_truncated_signature_is_refused() {
    // The last byte is a newline.
    for length in 0..USUAL.len() - 1 {
        let result = verified(SIGNED, &USUAL.as_bytes()[..length]);
        assert!(result.is_err(), "{length} bytes");
    }
}

#[test]
fn a_public_key_is_read_from_its_file_and_a_secret_one_is_not() {
    let key = key();
    assert_eq!(key.to_string(), line(KEY, 1));
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    let json = serde_json::to_string(&key).unwrap();
    assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);

    let secret = format!("untrusted comment: mine\nRWQAAEIy{}\n", "A".repeat(204));
    let error = PublicKey::of_file(&secret).unwrap_err();
    assert!(error.contains("it is a secret key"), "{error}");
    for text in ["", "\n", USUAL, line(KEY, 1), &KEY[..KEY.len() - 3]] {
        let error = PublicKey::of_file(text).unwrap_err();
        assert!(error.contains("not a minisign public key"), "{error}");
    }
}
