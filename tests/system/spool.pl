#!/usr/bin/perl
# usage: spool.pl SPOOL TEXT
# Sends TEXT to all connections of the wsd that has this spool, and prints how many these were.
use strict;
use warnings;
use Time::HiRes qw(time sleep);

sub give_order {
    my ($spool, $words, $payload) = @_;
    # Orders are executed in the order of their names; a name is used once.
    my $name = sprintf '%.6f-%d-pl', time, $$;
    open my $file, '>:raw', "$spool/tmp/$name" or die "$spool/tmp/$name: $!\n";
    print {$file} "$words\n$payload" or die "$spool/tmp/$name: $!\n";
    close $file or die "$spool/tmp/$name: $!\n";
    # From here on it is an order, though no wsd may run.
    rename "$spool/tmp/$name", "$spool/new/$name" or die "$spool/new/$name: $!\n";
    return $name;
}

# Who wants to know what became of it waits for the answer.
sub wait_for_answer {
    my ($spool, $name) = @_;
    for (my $end = time + 10; time < $end; sleep 0.005) {
        for my $folder ('done', 'failed') {
            open my $file, '<:raw', "$spool/$folder/$name" or next;
            my $first = <$file>;
            die $first if $folder eq 'failed';
            return join '', <$file>;
        }
    }
    die "no answer yet; the order stays\n";
}

my ($spool, $text) = @ARGV;
print wait_for_answer($spool, give_order($spool, 'broadcast', $text));
