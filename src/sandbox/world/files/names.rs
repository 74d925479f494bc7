//! Between what a folder answers and what wasi:filesystem has for it.

use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::bindings::types::{DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue};
use crate::engine::call_hash;
use crate::files::{FileError, FileKind, Stat, Time};

pub fn kind(of: FileKind) -> DescriptorType {
    match of {
        FileKind::File => DescriptorType::RegularFile,
        FileKind::Folder => DescriptorType::Directory,
        FileKind::Link => DescriptorType::SymbolicLink,
        FileKind::Other => DescriptorType::Unknown,
    }
}

pub fn shown(stat: Stat) -> DescriptorStat {
    let time = |(seconds, nanoseconds): Time| Some(Datetime { seconds, nanoseconds });
    DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: time(stat.accessed),
        data_modification_timestamp: time(stat.modified),
        status_change_timestamp: time(stat.changed),
    }
}

pub fn identity_hash(stat: &Stat) -> MetadataHashValue {
    let (device, inode) = (stat.identity.device.to_le_bytes(), stat.identity.inode.to_le_bytes());
    MetadataHashValue {
        lower: call_hash("file identity", &[&device, &inode]),
        upper: call_hash("identity of a file", &[&device, &inode]),
    }
}

/// By WASI's names.
pub fn code(error: FileError) -> ErrorCode {
    match error {
        FileError::Access => ErrorCode::Access,
        FileError::BadDescriptor | FileError::Replaced => ErrorCode::BadDescriptor,
        FileError::Busy => ErrorCode::Busy,
        FileError::CrossDevice => ErrorCode::CrossDevice,
        FileError::Exist => ErrorCode::Exist,
        FileError::FileTooLarge => ErrorCode::FileTooLarge,
        FileError::IllegalByteSequence => ErrorCode::IllegalByteSequence,
        FileError::InsufficientSpace => ErrorCode::InsufficientSpace,
        FileError::Invalid => ErrorCode::Invalid,
        FileError::Io | FileError::Unanswered => ErrorCode::Io,
        FileError::IsDirectory => ErrorCode::IsDirectory,
        FileError::Loop => ErrorCode::Loop,
        FileError::NameTooLong => ErrorCode::NameTooLong,
        FileError::NoEntry => ErrorCode::NoEntry,
        FileError::NotDirectory => ErrorCode::NotDirectory,
        FileError::NotEmpty => ErrorCode::NotEmpty,
        FileError::NotPermitted => ErrorCode::NotPermitted,
        FileError::Overflow => ErrorCode::Overflow,
        FileError::Quota => ErrorCode::Quota,
        FileError::ReadOnly => ErrorCode::ReadOnly,
        FileError::TooManyLinks => ErrorCode::TooManyLinks,
        FileError::Unsupported => ErrorCode::Unsupported,
    }
}
