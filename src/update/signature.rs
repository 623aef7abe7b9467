//! Who may provide an update: a system with a public key accepts only updates that the key's owner signed, with stock `minisign`.
//!
//! The signature covers the whole file, as `minisign -Sm new.img` reads it, and is stored beside it, in `new.img.minisig`:
//!
//! ```text
//! untrusted comment: ...     not signed, ignored
//! BASE64                     "ED", the key's id, Ed25519 signature of the file's BLAKE2b-512
//! trusted comment: ...       signed; if it begins with `allow-older`, an older version is accepted
//! BASE64                     Ed25519 signature of the one above and the trusted comment
//! ```
//!
//! The file's digest is computed in one pass from beginning to end, so a board with little memory can verify any file. Old
//! versions of minisign sign the file itself ("Ed"); that format would need the whole file in memory, so we refuse it.
//!
//! The format is minisign's: <https://jedisct1.github.io/minisign/#signature-format>.

use minisign_verify::{Error, StreamVerifier};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A signature's file name is the signed file's name with this suffix.
pub const SUFFIX: &str = ".minisig";
/// Longer files are not signatures: minisign's own limits are 1024 bytes for the untrusted comment and 8192 for the trusted one.
pub const LONGEST_BYTES: usize = 10 << 10;
/// The length of the second line of a secret key's file: 158 bytes in base64. A public key has 56, a signature 100.
const SECRET_KEY_CHARACTERS: usize = 212;
/// The first word of a trusted comment that accepts an older version.
pub const ALLOW_OLDER: &str = "allow-older";

/// A minisign public key: the second line of a `minisign.pub`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    /// In base64; the same key always has the same text.
    text: String,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// Parses the text of a file that `minisign -G` wrote.
    ///
    /// # Errors
    /// What the file is instead.
    pub fn of_file(text: &str) -> Result<Self, &'static str> {
        let key = text.lines().nth(1).unwrap_or_default();
        if key.len() == SECRET_KEY_CHARACTERS {
            return Err(
                "it is a secret key, which you must keep to yourself: pass the public one (minisign.pub)",
            );
        }
        key.parse()
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    /// Parses a key in base64.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = minisign_verify::PublicKey::from_base64(text)
            .map_err(|_| "it is not a minisign public key: make one with `minisign -G`")?;
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.text
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an update's signature is not accepted. `file` is the signature's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error(
        "it is not signed, and this card accepts only signed updates: there is no {file}; sign the image with `minisign -Sm` and the secret key of {key}, and put both files side by side"
    )]
    Missing {
        /// The signature's expected name.
        file: String,
        /// The required key.
        key: PublicKey,
    },
    /// The file is not a minisign signature.
    #[error(
        "{file} is not a minisign signature, or is damaged: download it again, or sign the image again with `minisign -Sm`"
    )]
    Malformed {
        /// Which file.
        file: String,
    },
    /// It signs the file itself instead of its digest.
    #[error(
        "{file} has minisign's old format, which would need the whole image in memory: sign the image again with minisign 0.8 or newer (-S -H)"
    )]
    OldForm {
        /// Which file.
        file: String,
    },
    /// Another key signed it.
    #[error(
        "{file} was made with another key than this card's: sign the image with the secret key of {key}"
    )]
    OtherKey {
        /// Which file.
        file: String,
        /// The required key.
        key: PublicKey,
    },
    /// The signature does not match this image, or one of the two was changed.
    #[error(
        "{file} does not match this image: one of the two was changed, or they do not belong together; download both again"
    )]
    Wrong {
        /// Which file.
        file: String,
    },
}

/// The signature file beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFile {
    /// Its name, for messages.
    pub name: String,
    /// Its contents, cut off one byte after [`LONGEST_BYTES`]; `None` when there is no such file.
    pub contents: Option<Vec<u8>>,
}

impl SignatureFile {
    /// Decodes the signature, which must be by `key`.
    ///
    /// # Errors
    /// When it is not a signature, or has a format that we refuse.
    pub fn decode(&self, key: &PublicKey) -> Result<Signature, SignatureError> {
        let file = self.name.clone();
        let Some(contents) = &self.contents else {
            let key = key.clone();
            return Err(SignatureError::Missing { file, key });
        };
        let malformed = || SignatureError::Malformed { file: file.clone() };
        if contents.len() > LONGEST_BYTES {
            return Err(malformed());
        }
        let text = std::str::from_utf8(contents).map_err(|_| malformed())?;
        let signature = minisign_verify::Signature::decode(text).map_err(|_| malformed())?;
        Ok(Signature { file, signature })
    }
}

/// A signature before verification.
pub struct Signature {
    file: String,
    signature: minisign_verify::Signature,
}

impl Signature {
    /// Starts verifying that it is by `key`.
    ///
    /// # Errors
    /// When it is by another key, or has a format that we refuse.
    pub fn verifier<'a>(&'a self, key: &'a PublicKey) -> Result<Verifier<'a>, SignatureError> {
        let file = self.file.clone();
        let stream = key.key.verify_stream(&self.signature);
        let stream = stream.map_err(|error| match error {
            Error::UnexpectedKeyId => {
                let key = key.clone();
                SignatureError::OtherKey { file, key }
            }
            Error::UnsupportedLegacyMode => SignatureError::OldForm { file },
            _ => SignatureError::Malformed { file },
        })?;
        Ok(Verifier {
            signature: self,
            stream,
        })
    }
}

/// Takes a file's bytes, in order, and checks the signature against them.
pub struct Verifier<'a> {
    signature: &'a Signature,
    stream: StreamVerifier<'a>,
}

impl Verifier<'_> {
    /// Feeds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.stream.update(bytes);
    }

    /// Ends the input; returns what the key's owner permits.
    ///
    /// # Errors
    /// When the signature or its trusted comment does not match the bytes.
    pub fn finish(mut self) -> Result<Permit, SignatureError> {
        if self.stream.finalize().is_err() {
            let file = self.signature.file.clone();
            return Err(SignatureError::Wrong { file });
        }
        let comment = self.signature.signature.trusted_comment();
        Ok(Permit {
            allows_older: comment.split_whitespace().next() == Some(ALLOW_OLDER),
        })
    }
}

/// What a key's owner permits by a valid signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// The system may be older than the running one.
    pub allows_older: bool,
}

#[cfg(test)]
mod tests;
