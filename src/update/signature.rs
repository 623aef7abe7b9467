//! Who may bring an update: a system with a public key takes those that the key's owner signed, by stock `minisign`.
//!
//! What is signed is the whole file, as `minisign -Sm new.img` reads it. The signature is a file beside it, `new.img.minisig`:
//!
//! ```text
//! untrusted comment: ...     not signed, and not looked at
//! BASE64                     "ED", the key's id, Ed25519 signature of the file's BLAKE2b-512
//! trusted comment: ...       signed; one that begins with `allow-older` lets an older version in
//! BASE64                     Ed25519 signature of the one above and the trusted comment
//! ```
//!
//! The file's digest is made while the file is read once, from its beginning to its end, so a board with little memory can
//! verify any. The form in which old versions of minisign sign the file itself ("Ed") would need all of it in memory, and is refused.
//!
//! The form is minisign's: <https://jedisct1.github.io/minisign/#signature-format>.

use minisign_verify::{Error, StreamVerifier};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A signature's file is called as what it signs, and this.
pub const SUFFIX: &str = ".minisig";
/// Longer files are no signatures: minisign's own limits are 1024 bytes for the untrusted comment and 8192 for the trusted one.
pub const LONGEST_BYTES: usize = 10 << 10;
/// The length of the second line of a secret key's file: 158 bytes in base64. A public key has 56, a signature 100.
const SECRET_KEY_CHARACTERS: usize = 212;
/// The first word of a trusted comment that lets an older version in.
pub const ALLOW_OLDER: &str = "allow-older";

/// A minisign public key: the second line of a `minisign.pub`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    /// In base64; the same key has the same text always.
    text: String,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// The key in a file that `minisign -G` wrote, from the file's text.
    ///
    /// # Errors
    /// What the file is instead.
    pub fn of_file(text: &str) -> Result<Self, &'static str> {
        let key = text.lines().nth(1).unwrap_or_default();
        if key.len() == SECRET_KEY_CHARACTERS {
            return Err(
                "it is a secret key, which stays with you: pass the public one (minisign.pub)",
            );
        }
        key.parse()
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    /// The key of this base64 text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = minisign_verify::PublicKey::from_base64(text)
            .map_err(|_| "it is no public key of minisign: make one by `minisign -G`")?;
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

/// Why an update is not taken for signed by a key. `file` is the signature's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error(
        "it is not signed, and this card takes nothing else: there is no {file}; sign the image by `minisign -Sm`, with the secret key of {key}, and put both files side by side"
    )]
    Missing {
        /// Which file would be one.
        file: String,
        /// The key that is wanted.
        key: PublicKey,
    },
    /// The file is none of minisign's.
    #[error(
        "{file} is no signature of minisign, or is damaged: fetch it anew, or sign the image anew by `minisign -Sm`"
    )]
    Malformed {
        /// Which file.
        file: String,
    },
    /// It signs the file itself and not its digest.
    #[error(
        "{file} has minisign's old form, for which the whole image would have to be in memory: sign the image anew by minisign 0.8 or newer (-S -H)"
    )]
    OldForm {
        /// Which file.
        file: String,
    },
    /// Somebody else signed.
    #[error(
        "{file} is of another key than this card's: sign the image with the secret key of {key}"
    )]
    OtherKey {
        /// Which file.
        file: String,
        /// The key that is wanted.
        key: PublicKey,
    },
    /// The signature is not one of this image, or one of the two was changed.
    #[error(
        "{file} is not right for this image: one of the two was changed, or they do not belong together; fetch both anew"
    )]
    Wrong {
        /// Which file.
        file: String,
    },
}

/// The file beside an image that may be its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFile {
    /// Its name, for messages.
    pub name: String,
    /// What is in it, cut off after [`LONGEST_BYTES`] and one more; `None` when there is no such file.
    pub contents: Option<Vec<u8>>,
}

impl SignatureFile {
    /// The signature in it, which is to be of `key`.
    ///
    /// # Errors
    /// When it is none, or of a form that is not taken.
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

/// A signature that is not verified yet.
pub struct Signature {
    file: String,
    signature: minisign_verify::Signature,
}

impl Signature {
    /// Begins to verify that it is of `key`.
    ///
    /// # Errors
    /// When it is of another one, or of a form that is not taken.
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

/// Takes a file's bytes, in order, and says whether the signature is right for them.
pub struct Verifier<'a> {
    signature: &'a Signature,
    stream: StreamVerifier<'a>,
}

impl Verifier<'_> {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.stream.update(bytes);
    }

    /// There are no more bytes: what the key's owner permits.
    ///
    /// # Errors
    /// When the signature, or its trusted comment, is not right for the bytes.
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

/// What the owner of a key permits by a signature that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// The system may be older than the one that runs.
    pub allows_older: bool,
}

#[cfg(test)]
mod tests;
