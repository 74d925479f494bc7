const std = @import("std");

pub fn main(init: std.process.Init) !void {
    const io = init.io;
    var drawn: [8]u8 = undefined;
    io.random(&drawn);
    var buffer: [256]u8 = undefined;
    var out = std.Io.File.stdout().writer(io, &buffer);
    try out.interface.print("drawn {x}\n", .{std.mem.readInt(u64, &drawn, .little)});
    try out.interface.flush();
    const begun = std.Io.Clock.real.now(io);
    try io.sleep(.fromSeconds(86_400), .awake);
    const passed = begun.durationTo(std.Io.Clock.real.now(io)).toSeconds();
    try out.interface.print("still {x}, a day is over: {}\n", .{ std.mem.readInt(u64, &drawn, .little), passed >= 86_400 });
    try out.interface.flush();
}
