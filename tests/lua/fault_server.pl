# A web server that goes wrong on request, for the tests of downloads. Usage: fault_server.pl PORT FOLDER
#   /cut/N/NAME      the connection ends after N more bytes, each time
#   /whole/N/NAME    the same, and ranges are ignored
#   /shift/NAME      another range than the one that was asked for
#   /busy/N/NAME     status 503 for the first N requests
#   /stall/N/NAME    nothing comes after N bytes
#   /blind/NAME      its length is not said
#   /swap/N/NAME     the first answer ends after N bytes; later ones are of NAME.other
# Loopback only; ends by itself after five minutes.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $folder) = @ARGV;
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
alarm 300;
my %seen;
my $server = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1,
) or die "cannot listen: $!";

sub content {
    open(my $file, '<:raw', "$folder/$_[0]") or return;
    local $/;
    return scalar <$file>;
}

while (1) {
    my $client = $server->accept or next;
    my ($path, $from) = ('', 0);
    while (my $line = <$client>) {
        $path = $1 if $line =~ m{^GET (\S+)};
        $from = $1 if $line =~ /^Range: bytes=(\d+)-/i;
        last if $line =~ /^\r?\n$/;
    }
    my $count = ++$seen{$path};
    next if fork;
    my (undef, $fault, @rest) = split m{/}, $path;
    my $number = $fault =~ /^(shift|blind)$/ ? 0 : shift @rest;
    my $name = $rest[0];
    $name .= '.other' if $fault eq 'swap' && $count > 1;
    my $data = content($name);
    if ($fault eq 'busy' && $count <= $number) {
        print $client "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
        exit;
    }
    $from = 0 if $fault eq 'whole';
    my $size = length $data;
    my $body = substr $data, $from;
    my $start = $fault eq 'shift' ? $from + 1 : $from;
    print $client $from > 0 ? "HTTP/1.1 206 Partial\r\nContent-Range: bytes $start-@{[$size - 1]}/$size\r\n"
        : "HTTP/1.1 200 OK\r\n";
    print $client "Content-Length: @{[length $body]}\r\n" if $fault ne 'blind';
    print $client "Connection: close\r\n\r\n";
    my $limit = $fault eq 'cut' || $fault eq 'whole' || $fault eq 'stall' || ($fault eq 'swap' && $count == 1);
    print $client $limit ? substr($body, 0, $number) : $body;
    $client->flush;
    sleep 60 if $fault eq 'stall';
    exit;
}
