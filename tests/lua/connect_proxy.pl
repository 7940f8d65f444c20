# A proxy for https on loopback, for the tests of downloads. Usage: connect_proxy.pl PORT ROUTE
# It takes CONNECT for one name only, ROUTE's: "example.test:443=127.0.0.1:4433"; what else is asked for it
# refuses. Says each request on its standard output. Ends by itself after five minutes.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($port, $route) = @ARGV;
my ($name, $to) = split /=/, $route;
$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
alarm 300;
my $server = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1,
) or die "cannot listen: $!";

while (1) {
    my $client = $server->accept or next;
    my $head = '';
    while ($head !~ /\r\n\r\n$/ && sysread($client, my $byte, 1)) { $head .= $byte; }
    my ($asked) = $head =~ /^CONNECT (\S+)/;
    print "CONNECT $asked\n" if $asked;
    next if fork;
    my $other = $asked && $asked eq $name && IO::Socket::INET->new($to);
    syswrite $client, $other ? "HTTP/1.1 200 Connected\r\n\r\n" : "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    exit unless $other;
    my $both = IO::Select->new($client, $other);
    while (1) {
        for my $from ($both->can_read) {
            my $into = $from == $client ? $other : $client;
            my $len = sysread($from, my $bytes, 65536);
            exit unless $len;
            for (my $at = 0; $at < $len;) {
                my $done = syswrite($into, $bytes, $len - $at, $at) or exit;
                $at += $done;
            }
        }
    }
}
