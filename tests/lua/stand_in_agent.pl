# A stand-in for a guest agent that misbehaves: what it is asked for by name is what it does.
# Run: perl stand_in_agent.pl SOCKET. It ends by itself after two minutes.
use strict;
use warnings;
use IO::Socket::UNIX;

my $path = shift;
unlink $path;
my $server = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!";
$SIG{PIPE} = 'IGNORE';
$| = 1;
alarm 120;
my ($started, $looked) = (0, 0);
print "ready\n";

while (my $client = $server->accept) {
    $client->autoflush(1);
    print $client "what was left from before\n{\"return\": \"also\"}\n";
    my ($deaf, $slow) = (0, 0);
    while (my $line = <$client>) {
        my ($name) = $line =~ /"execute": ?"([^"]*)"/ or next;
        my ($number) = $line =~ /"id": ?(\d+)/;
        my ($text) = $line =~ /"text": ?"([^"]*)"/;
        my $answer = sub { print $client '{"return": "' . shift() . "\", \"id\": $number}\n" };
        if ($name eq 'guest-sync-delimited') {
            print $client "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not JSON\"}}\n"; # the byte before it
            if ($deaf > 0) { $deaf--; next }
            if ($slow > 0) { $slow--; select undef, undef, undef, 0.7 }
            print $client "\xff{\"return\": $number}\n";
        }
        # Answers of the right form that make no sense, one after the other.
        elsif ($name eq 'guest-exec') {
            my $pid = ('17', '{"pid": "1; reboot"}', '{"pid": 7}')[$started++] // '{"pid": 7}';
            print $client "{\"return\": $pid, \"id\": $number}\n";
        }
        elsif ($name eq 'guest-exec-status') {
            my $status = ('"gone"', '{"exited": true, "exitcode": [], "out-data": 5}',
                '{"exited": true, "exitcode": 0, "err-data": "%%%"}')[$looked++] // '{"exited": true}';
            print $client "{\"return\": $status, \"id\": $number}\n";
        }
        elsif ($name eq 'echo') { $answer->($text) }
        elsif ($name eq 'hang') { }
        elsif ($name eq 'deaf') { $deaf = 1 }
        elsif ($name eq 'slow') { $slow = 1 }
        elsif ($name eq 'late') { select undef, undef, undef, 0.6; $answer->('late') }
        elsif ($name eq 'old') { print $client "{\"return\": \"no number\"}\n" }
        elsif ($name eq 'refuse') { print $client "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\\u001b[31m\"}}\n" }
        elsif ($name eq 'other') { print $client "{\"return\": \"not yours\", \"id\": 1}\n"; $answer->('yours') }
        elsif ($name eq 'garbage') {
            print $client "\x00\x01\xfe not JSON\n{\"return\": \n[[[[\n{}\n\"text\"\n17\n";
            $answer->('after garbage');
        }
        elsif ($name eq 'flood') { print $client "garbage\n" x 20000 }
        elsif ($name eq 'oversize') { print $client 'x' x 1048576 for 1 .. 50; print $client "\n" }
        elsif ($name eq 'close') { close $client; last }
    }
}
